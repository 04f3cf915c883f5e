//! Where a tenant's rows are, in the order in which they can go. **A new table with a `tenant_id` needs its
//! line here**, before every table that it refers to; a test compares the list with the migrated schema.

/// A table whose rows of a tenant are removed.
pub struct Erased {
    pub table: &'static str,
    /// Which rows are the tenant's `$1`.
    pub rows: &'static str,
    /// References to rows of the same table, which are cut first.
    pub cut: &'static [&'static str],
}

const fn of(table: &'static str) -> Erased {
    Erased { table, rows: "tenant_id = $1", cut: &[] }
}

/// Ways in go first; the audit log, which tells of all the rest, goes last.
pub const ERASED: &[Erased] = &[
    Erased { rows: "session_id IN (SELECT id FROM session WHERE tenant_id = $1)", ..of("refresh_token") },
    of("session"),
    of("sign_in_challenge"),
    of("api_key_usage"),
    of("api_key"),
    of("team_invite"),
    of("team_member"),
    of("membership"),
    of("tenant_domain"),
    of("sign_in_policy"),
    of("notification"),
    of("approval"),
    of("run_wait"),
    of("event_run"),
    of("hook_body"),
    of("hook_delivery"),
    of("schedule_fire"),
    of("bulk_action_item"),
    of("bulk_action"),
    of("run_dedupe"),
    of("run_event"),
    of("run_step"),
    Erased { cut: &["parent_run_id", "root_run_id", "replay_of"], ..of("task_run") },
    of("worker"),
    of("run_usage"),
    of("rate_bucket"),
    of("event"),
    of("inbound_hook"),
    of("task_target"),
    of("batch_task"),
    of("scheduled_task"),
    of("task_definition"),
    of("agent_tool"),
    of("agent_version"),
    of("agent"),
    of("tool"),
    of("integration"),
    of("model_price"),
    of("workspace"),
    of("idempotency_record"),
    of("retention_policy"),
    of("privacy_request"),
    AUDIT,
];

/// Its rows go behind the anchor of their chain, which the database demands.
pub const AUDIT: Erased = of("audit_log");

/// What has the id of a tenant and outlives it, and why.
pub const KEPT: &[(&str, &str)] = &[
    ("app_user", "People stand above tenants: who belongs nowhere else is forgotten, others choose another."),
    ("audit_chain", "Checkpoints that were kept outside are compared with its end; it names nobody."),
];
