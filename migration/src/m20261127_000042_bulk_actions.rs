//! Actions on many runs, and what became of each.

crate::tables!(
    "m20261127_000042_bulk_actions",
    ["bulk_action", "bulk_action_item"],
    "
CREATE TABLE bulk_action (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    filter JSONB NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    matched BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    position UUID NOT NULL,
    last_id UUID NOT NULL,
    worked_by UUID,
    worked_until TIMESTAMPTZ,
    user_id UUID NOT NULL,
    api_key_id UUID,
    created_by TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    CHECK (status IN ('DRAFT', 'RUNNING', 'COMPLETED', 'ABORTED', 'FAILED')),
    CHECK ((status IN ('COMPLETED', 'ABORTED', 'FAILED')) = (completed_at IS NOT NULL))
);
CREATE INDEX bulk_action_open ON bulk_action (tenant_id, id) WHERE status IN ('DRAFT', 'RUNNING');
CREATE INDEX bulk_action_ended ON bulk_action (completed_at) WHERE completed_at IS NOT NULL;
CREATE TABLE bulk_action_item (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    bulk_action_id UUID NOT NULL,
    workspace_id UUID,
    run_id UUID NOT NULL,
    new_run_id UUID,
    outcome TEXT NOT NULL,
    code TEXT,
    message TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, bulk_action_id) REFERENCES bulk_action (tenant_id, id)
);
CREATE UNIQUE INDEX bulk_action_item_run ON bulk_action_item (tenant_id, bulk_action_id, run_id);
"
);
