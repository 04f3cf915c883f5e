//! Transitions that people ask for: cancel and retry.

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{self, RunReason, RunStatus};
use sea_orm::{ActiveEnum as _, DbErr, FromQueryResult as _};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Ended, MOST_LOST, SUSPECT, event, order_key, tree};
use crate::db::{Dialect, SystemTx};

/// What a cancel did.
#[derive(Clone, Debug, PartialEq)]
pub enum CancelOutcome {
    /// The run was not executing and is CANCELLED.
    Cancelled(Box<task_run::Model>),
    /// Its executor is told, and ends it.
    Requested(Box<task_run::Model>),
    /// No live run.
    NotLive,
}

/// PENDING or WAITING → CANCELLED; RUNNING → RUNNING(CANCEL_REQUESTED). The same happens to its live children.
pub async fn cancel(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    reason: RunReason,
    by: &str,
    now: DateTime<Utc>,
) -> Result<CancelOutcome, DbErr> {
    let sql = "UPDATE task_run SET \
         status = CASE WHEN status = 'RUNNING' THEN 'RUNNING' ELSE 'CANCELLED' END, \
         reason = CASE WHEN status = 'RUNNING' THEN 'CANCEL_REQUESTED' ELSE $3 END, \
         completed_at = CASE WHEN status = 'RUNNING' THEN NULL ELSE $4 END, \
         cancel_requested_at = COALESCE(cancel_requested_at, $4), cancel_reason = COALESCE(cancel_reason, $3), \
         wait_until = NULL, waiting_since = NULL, held_at = NULL, event_seq = event_seq + 1, updated_at = $4 \
         WHERE tenant_id = $1 AND id = $2 AND status IN ('PENDING', 'WAITING', 'RUNNING') \
         AND reason <> 'CANCEL_REQUESTED' RETURNING *";
    let values = vec![tenant.into(), run.into(), reason.to_value().into(), now.into()];
    let Some(row) = tx.query(sql, values).await?.into_iter().next() else {
        return Ok(CancelOutcome::NotLive);
    };
    let run = Box::new(task_run::Model::from_query_result(&row, "")?);
    let running = run.status == task_run::RunStatus::Running;
    let kind = if running { "run.cancel_requested" } else { "run.cancelled" };
    let entry = event(tenant, run.id, run.event_seq, kind, json!({ "reason": run.reason, "by": by }), now);
    super::append_events(tx, &[entry]).await?;
    if running && run.children > 0 {
        let (_, parents) = tree::cascade(tx, vec![(tenant, run.id)], now).await?;
        tree::settle(tx, parents, now).await?;
    }
    if let Some(ended) = Ended::of(&run) {
        tree::ended(tx, &[ended], now).await?;
    }
    Ok(if running { CancelOutcome::Requested(run) } else { CancelOutcome::Cancelled(run) })
}

/// Whether what is journaled alone decided the run's failure: another attempt would read it and fail the
/// same way, or make a ONCE call again of which a person said that it is not repeated.
pub fn is_decided(run: &task_run::Model) -> bool {
    let code = run.error.as_ref().and_then(|error| error.get("code")).and_then(Json::as_str);
    let reason = matches!(run.reason, RunReason::NoProgress | RunReason::InvalidOutput);
    let decided = matches!(code, Some("content_filtered" | "outcome_unknown"));
    run.status == RunStatus::Failed && (reason || decided)
}

/// The opposite of [`is_decided`] as a condition.
pub(super) fn undecided(dialect: Dialect) -> String {
    let code = dialect.json_text("error", &["code"]);
    format!(
        "reason NOT IN ('NO_PROGRESS', 'INVALID_OUTPUT') \
         AND COALESCE({code}, '') NOT IN ('content_filtered', 'outcome_unknown')"
    )
}

/// FAILED or CANCELLED → PENDING, the same run with its history, and its children as [`tree::restart`] says; one
/// that was quarantined is on probation, and one more loss quarantines it again. `None` when it is in another
/// state, a child, some of its children still end, its failure [`is_decided`], or its tenant is not active.
pub async fn retry(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<task_run::Model>, DbErr> {
    let sql = format!(
        "UPDATE task_run SET status = 'PENDING', reason = 'QUEUED', completed_at = NULL, error = NULL, \
         cancel_requested_at = NULL, cancel_reason = NULL, failures = 0, \
         lost_count = CASE WHEN lost_count >= {MOST_LOST} THEN {SUSPECT} ELSE 0 END, deadline_at = NULL, available_at = $3, queued_at = $3, \
         order_key = $4 - priority * {}, queue_expires_at = {}, event_seq = event_seq + 1, updated_at = $3 \
         WHERE tenant_id = $1 AND id = $2 AND status IN ('FAILED', 'CANCELLED') AND parent_run_id IS NULL AND children_ended >= children AND {} \
         AND EXISTS (SELECT 1 FROM tenant t WHERE t.id = $1 AND t.status = 'ACTIVE') RETURNING *",
        super::SECONDS_PER_PRIORITY * 1_000_000,
        tx.dialect().after_seconds("$3", super::NEXT_START),
        undecided(tx.dialect()),
    );
    let values = vec![tenant.into(), run.into(), now.into(), order_key(now, 0).into()];
    let Some(row) = tx.query(&sql, values).await?.into_iter().next() else { return Ok(None) };
    let run = task_run::Model::from_query_result(&row, "")?;
    super::append_events(
        tx,
        &[event(tenant, run.id, run.event_seq, "run.retried", json!({ "by": by }), now)],
    )
    .await?;
    if run.children > 0 {
        tree::restart(tx, vec![(tenant, run.id)], now).await?;
    }
    Ok(Some(run))
}
