//! Which column holds what of a person. A test reads the migrated schema: a text or JSON column that
//! stands here nowhere fails it, until somebody decides.

/// What a column may hold of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing: codes, names of things, machine state.
    Nothing,
    /// Who a person is, or where they were: exported, and erased on request.
    Personal,
    /// An id in the place of a person. It stays, and leads to nobody once the person is erased.
    Pseudonym,
    /// What people wrote or agents worked on. It is the tenant's, may tell of anybody, and goes with
    /// retention or when the tenant deletes it.
    Content,
    /// A secret, or what one is checked against: never exported; gone with its owner.
    Secret,
}

use Holds::{Content, Nothing, Personal, Pseudonym, Secret};

/// Every text and JSON column, by table.
pub const COLUMNS: &[(&str, &[(&str, Holds)])] = &[
    (
        "account",
        &[("provider", Nothing), ("issuer", Nothing), ("provider_account_id", Personal), ("email", Personal)],
    ),
    (
        "agent",
        &[
            ("name", Content),
            ("slug", Content),
            ("type", Nothing),
            ("status", Nothing),
            ("status_reason", Content),
            ("config", Content),
            ("metadata", Content),
        ],
    ),
    ("agent_tool", &[("config", Content)]),
    (
        "agent_version",
        &[("snapshot", Content), ("note", Content), ("labels", Content), ("author", Pseudonym)],
    ),
    (
        "api_key",
        &[
            ("name", Content),
            ("prefix", Nothing),
            ("last4", Nothing),
            ("scopes", Nothing),
            ("agent_ids", Nothing),
            ("ip_allow_list", Content),
            ("metadata", Content),
        ],
    ),
    (
        "app_user",
        &[
            ("email", Personal),
            ("name", Personal),
            ("image", Personal),
            ("platform_role", Nothing),
            ("password_hash", Secret),
            ("terms_version", Personal),
            ("privacy_version", Personal),
        ],
    ),
    (
        "approval",
        &[
            ("kind", Nothing),
            ("status", Nothing),
            ("proposal", Content),
            ("decision", Content),
            ("on_expire", Nothing),
            ("decided_by", Pseudonym),
        ],
    ),
    (
        "audit_log",
        &[
            ("actor", Pseudonym),
            ("action", Nothing),
            ("outcome", Nothing),
            ("code", Nothing),
            ("resource", Nothing),
            ("request_id", Nothing),
            ("ip_address", Personal),
            ("old_data", Personal),
            ("new_data", Personal),
        ],
    ),
    (
        "bulk_action",
        &[
            ("kind", Nothing),
            ("filter", Content),
            ("status", Nothing),
            ("status_reason", Nothing),
            ("created_by", Pseudonym),
        ],
    ),
    ("bulk_action_item", &[("outcome", Nothing), ("code", Nothing), ("message", Content)]),
    (
        "batch_task",
        &[
            ("name", Content),
            ("status", Nothing),
            ("status_reason", Nothing),
            ("status_note", Content),
            ("created_by", Pseudonym),
            ("metadata", Content),
        ],
    ),
    ("engine_node", &[("name", Nothing), ("key_versions", Nothing)]),
    (
        "event",
        &[
            ("type", Content),
            ("data", Content),
            ("source", Content),
            ("dedupe_id", Content),
            ("correlation_key", Content),
            ("created_by", Pseudonym),
            ("request_id", Nothing),
        ],
    ),
    ("event_run", &[("code", Nothing), ("message", Content)]),
    (
        "hook_delivery",
        &[
            ("delivery_id", Content),
            ("type", Content),
            ("verdict", Nothing),
            ("code", Nothing),
            ("message", Content),
            ("headers", Content),
            ("content_type", Nothing),
            ("created_by", Pseudonym),
        ],
    ),
    ("idempotency_record", &[("principal", Pseudonym), ("route", Nothing), ("key", Content)]),
    ("inbound_hook", &[("name", Content), ("scheme", Nothing), ("config", Nothing), ("metadata", Content)]),
    (
        "integration",
        &[
            ("name", Content),
            ("type", Nothing),
            ("config", Content),
            ("status", Nothing),
            ("last_error", Content),
            ("rate_limit", Nothing),
            ("metadata", Content),
        ],
    ),
    (
        "mail",
        &[
            ("kind", Nothing),
            ("recipient", Personal),
            ("subject", Content),
            ("status", Nothing),
            ("reason", Content),
        ],
    ),
    ("master_key", &[("fingerprint", Nothing)]),
    ("membership", &[("role", Nothing), ("status", Nothing)]),
    ("model_price", &[("model", Nothing), ("currency", Nothing), ("note", Content)]),
    ("notification", &[("type", Nothing), ("severity", Nothing), ("resource", Nothing), ("data", Personal)]),
    (
        "notification_preference",
        &[
            ("channels", Nothing),
            ("min_severity", Nothing),
            ("digest", Nothing),
            ("quiet_from", Personal),
            ("quiet_until", Personal),
            ("time_zone", Personal),
        ],
    ),
    ("oidc_request", &[("provider", Nothing), ("redirect_uri", Nothing)]),
    (
        "privacy_request",
        &[
            ("kind", Nothing),
            ("status", Nothing),
            ("note", Content),
            ("requested_by", Pseudonym),
            ("traces", Personal),
            ("receipt", Nothing),
        ],
    ),
    ("run_dedupe", &[("key", Content)]),
    ("run_event", &[("type", Nothing), ("data", Content)]),
    (
        "run_step",
        &[
            ("kind", Nothing),
            ("status", Nothing),
            ("name", Content),
            ("call_id", Nothing),
            ("effect_key", Nothing),
            ("request", Content),
            ("response", Content),
            ("stop_reason", Nothing),
        ],
    ),
    (
        "schedule_fire",
        &[
            ("kind", Nothing),
            ("status", Nothing),
            ("reason", Nothing),
            ("detail", Content),
            ("input", Content),
            ("run_status", Nothing),
            ("created_by", Pseudonym),
        ],
    ),
    (
        "scheduled_task",
        &[
            ("name", Content),
            ("schedule_type", Nothing),
            ("recurrence", Nothing),
            ("input", Content),
            ("overlap", Nothing),
            ("catchup", Nothing),
            ("status", Nothing),
            ("status_reason", Nothing),
            ("status_note", Content),
            ("created_by", Pseudonym),
            ("metadata", Content),
        ],
    ),
    (
        "run_wait",
        &[
            ("kind", Nothing),
            ("status", Nothing),
            ("key", Content),
            ("request", Content),
            ("answer", Content),
            ("on_expire", Nothing),
            ("answered_by", Pseudonym),
        ],
    ),
    ("session", &[("device", Personal), ("ip", Personal)]),
    ("signing_key", &[("kid", Nothing)]),
    (
        "task_definition",
        &[
            ("name", Content),
            ("description", Content),
            ("type", Nothing),
            ("trigger_config", Content),
            ("config", Content),
            ("paused_reason", Content),
            ("metadata", Content),
        ],
    ),
    (
        "task_run",
        &[
            ("capability", Nothing),
            ("status", Nothing),
            ("reason", Nothing),
            ("input", Content),
            ("output", Content),
            ("error", Content),
            ("policy", Nothing),
            ("child_key", Nothing),
            ("cancel_reason", Nothing),
            ("dedupe_key", Content),
            ("concurrency_key", Content),
            ("created_by", Pseudonym),
            ("metadata", Content),
        ],
    ),
    ("task_target", &[("target_key", Content), ("input", Content), ("status", Nothing), ("error", Content)]),
    (
        "team_invite",
        &[("email", Personal), ("role", Nothing), ("status", Nothing), ("workspace_ids", Nothing)],
    ),
    ("team_member", &[("role", Nothing), ("skills", Personal), ("availability", Personal)]),
    (
        "tenant",
        &[
            ("name", Content),
            ("slug", Content),
            ("domain", Content),
            ("logo_url", Content),
            ("plan", Nothing),
            ("status", Nothing),
            ("status_reason", Content),
            ("closed_by", Pseudonym),
            ("closed_from", Nothing),
            ("stopped_by", Pseudonym),
            ("stop_reason", Content),
            ("settings", Content),
        ],
    ),
    ("tenant_erasure", &[("slug", Content), ("requested_by", Pseudonym), ("removed", Nothing)]),
    (
        "tenant_domain",
        &[("domain", Content), ("join_role", Nothing), ("proof", Nothing), ("verified_by", Nothing)],
    ),
    (
        "tool",
        &[
            ("name", Content),
            ("description", Content),
            ("type", Nothing),
            ("config", Content),
            ("schema", Content),
            ("side_effect", Nothing),
            ("rate_limit", Nothing),
            ("metadata", Content),
        ],
    ),
    ("verification_token", &[("purpose", Nothing), ("email", Personal)]),
    (
        "worker",
        &[
            ("name", Content),
            ("labels", Content),
            ("capabilities", Nothing),
            ("paused_reason", Content),
            ("registered_by", Pseudonym),
            ("delivery_url", Content),
            ("delivery_error", Content),
        ],
    ),
    (
        "workspace",
        &[
            ("name", Content),
            ("slug", Content),
            ("isolation", Nothing),
            ("settings", Content),
            ("metadata", Content),
        ],
    ),
];

/// The columns that hold this.
pub fn columns(holds: Holds) -> impl Iterator<Item = (&'static str, &'static str)> {
    COLUMNS.iter().flat_map(move |(table, columns)| {
        columns.iter().filter(move |(_, held)| *held == holds).map(move |(column, _)| (*table, *column))
    })
}
