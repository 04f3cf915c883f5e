//! What runs wait for beside approvals: an answer of a person, an event, a time. As with approvals, the workspace
//! is that of the run and has no key of its own.

crate::tables!(
    "m20261127_000050_run_waits",
    ["run_wait"],
    "
CREATE TABLE run_wait (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    workspace_id UUID,
    run_id UUID NOT NULL,
    step_number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    key TEXT,
    request JSONB NOT NULL,
    answer JSONB,
    on_expire TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    answered_by TEXT,
    answered_at TIMESTAMPTZ,
    event_id UUID,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES task_run (tenant_id, id)
);
CREATE INDEX run_wait_due ON run_wait (expires_at) WHERE status = 'OPEN';
CREATE UNIQUE INDEX run_wait_open ON run_wait (tenant_id, run_id, step_number) WHERE status = 'OPEN';
CREATE INDEX run_wait_of_key ON run_wait (tenant_id, key) WHERE status = 'OPEN' AND key IS NOT NULL;
CREATE INDEX run_wait_of_run ON run_wait (tenant_id, run_id, step_number);
"
);
