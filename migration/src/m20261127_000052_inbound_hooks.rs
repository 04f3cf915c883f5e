//! Inbound hooks of WEBHOOK task definitions, and the log of what they were sent. A delivery that was accepted is the
//! only one with its sender's id.

crate::tables!(
    "m20261127_000052_inbound_hooks",
    ["inbound_hook", "hook_delivery"],
    "
CREATE TABLE inbound_hook (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    workspace_id UUID,
    definition_id UUID NOT NULL,
    name TEXT NOT NULL,
    scheme TEXT NOT NULL,
    config JSONB NOT NULL,
    secret BYTEA,
    previous_secret BYTEA,
    previous_secret_until TIMESTAMPTZ,
    token_hash BYTEA NOT NULL,
    previous_token_hash BYTEA,
    previous_token_until TIMESTAMPTZ,
    is_active BOOLEAN NOT NULL,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspace (tenant_id, id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES task_definition (tenant_id, id)
);
CREATE UNIQUE INDEX inbound_hook_token ON inbound_hook (token_hash);
CREATE UNIQUE INDEX inbound_hook_previous_token ON inbound_hook (previous_token_hash)
    WHERE previous_token_hash IS NOT NULL;
CREATE UNIQUE INDEX inbound_hook_name_key ON inbound_hook (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX inbound_hook_of_definition ON inbound_hook (tenant_id, definition_id);

CREATE TABLE hook_delivery (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    workspace_id UUID,
    hook_id UUID NOT NULL,
    delivery_id TEXT,
    type TEXT,
    verdict TEXT NOT NULL,
    code TEXT,
    message TEXT,
    headers JSONB NOT NULL,
    content_type TEXT,
    body BYTEA NOT NULL,
    body_bytes BIGINT NOT NULL,
    run_id UUID,
    resumed INTEGER NOT NULL,
    replay_of UUID,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, hook_id) REFERENCES inbound_hook (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES task_run (tenant_id, id)
);
CREATE UNIQUE INDEX hook_delivery_once ON hook_delivery (tenant_id, hook_id, delivery_id)
    WHERE delivery_id IS NOT NULL AND verdict = 'ACCEPTED' AND replay_of IS NULL;
CREATE INDEX hook_delivery_of_hook ON hook_delivery (tenant_id, hook_id, id);
CREATE INDEX hook_delivery_of_run ON hook_delivery (tenant_id, run_id) WHERE run_id IS NOT NULL;
"
);
