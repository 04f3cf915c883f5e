//! What may be done in a tenant that is suspended or closed: everything is read, and whatever ends or narrows
//! something is done. What would make, widen or start something is refused.
//!
//! Invariant: an operation that nobody thought of here is refused. People's own accounts are no tenant's.

use entity::identity::tenant::TenantStatus;

use super::permissions::{Needs, PermissionRow};
use crate::error::{Error, Result};

/// Beside all that read and delete: they end, narrow or answer something, or are a person's right.
/// A bulk action cancels; what it would retry or replay is refused run by run. A worker ends what it holds, as a
/// node does: it is told what to stop, says what happened, and is given no more.
const OPEN: &[&str] = &[
    "abort_bulk_action",
    "add_attempt_events",
    "answer_task_run",
    "archive_workspace",
    "beat_worker",
    "cancel_batch_task",
    "cancel_task_run",
    "close_current_tenant",
    "complete_attempt",
    "create_bulk_action",
    "create_privacy_request",
    "decide_approval",
    "decide_by_link",
    "drain_worker",
    "export_privacy_request",
    "fail_attempt",
    "get_approval_link",
    "pause_agent",
    "pause_batch_task",
    "pause_scheduled_task",
    "pause_task_definition",
    "pause_worker",
    "release_attempt",
    "release_emergency_stop",
    "reopen_current_tenant",
    "start_bulk_action",
    "start_emergency_stop",
];

/// # Errors
/// 403 `tenant_suspended`, `tenant_closing`.
pub fn require(status: TenantStatus, permission: &PermissionRow, operation: &str) -> Result<()> {
    let is_open = status == TenantStatus::Active
        || permission.needs == Needs::PlatformAdmin
        || permission.name.ends_with(":read")
        || operation.starts_with("delete_")
        || OPEN.contains(&operation);
    match status {
        _ if is_open => Ok(()),
        TenantStatus::Closing | TenantStatus::Erasing => {
            Err(Error::denied("tenant_closing", "The tenant is closed: it can be read until it is erased."))
        }
        TenantStatus::Suspended | TenantStatus::Active => {
            Err(Error::denied("tenant_suspended", "The tenant is suspended: it can be read."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::permissions::{Permission as _, agents, platform, task_runs, workers};

    #[test]
    fn what_nobody_thought_of_is_refused() {
        for status in [TenantStatus::Suspended, TenantStatus::Closing] {
            assert!(require(status, &agents::Write::ROW, "update_agent").is_err());
            assert!(require(status, &agents::Write::ROW, "").is_err());
            assert!(require(status, &task_runs::Write::ROW, "create_task_run").is_err());
            assert!(require(status, &task_runs::Cancel::ROW, "cancel_task_run").is_ok());
            assert!(require(status, &agents::Write::ROW, "delete_agent").is_ok());
            assert!(require(status, &agents::Read::ROW, "list_agents").is_ok());
            assert!(require(status, &workers::Write::ROW, "complete_attempt").is_ok());
            assert!(require(status, &workers::Write::ROW, "claim_task_runs").is_err());
            assert!(require(status, &workers::Write::ROW, "suspend_attempt").is_err());
            assert!(require(status, &platform::Tenants::ROW, "create_tenant").is_ok());
        }
        assert!(require(TenantStatus::Active, &agents::Write::ROW, "update_agent").is_ok());
    }
}
