//! How long a tenant keeps which class of data. The indexes let a run go without a scan for what refers
//! to it; they hold children and replays only, so creating a run costs nothing more.

crate::tables!(
    "m20261124_000011_retention",
    ["retention_policy"],
    "
CREATE TABLE retention_policy (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    runs_days INTEGER,
    audit_days INTEGER,
    sessions_days INTEGER,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (id = tenant_id)
);
CREATE INDEX IF NOT EXISTS task_run_of_root ON task_run (tenant_id, root_run_id) WHERE root_run_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS task_run_replays ON task_run (tenant_id, replay_of) WHERE replay_of IS NOT NULL;
"
);
