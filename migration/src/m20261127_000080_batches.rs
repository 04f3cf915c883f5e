//! Batches: a definition over many targets, each of which becomes one run.
//!
//! Only a batch that has something to do has `next_at`, so the loop's index holds nothing else. What a batch
//! counts is counted from its targets. A target has no foreign key to its run: retention may take it first.

crate::tables!(
    "m20261127_000080_batches",
    ["batch_task", "task_target"],
    "
CREATE TABLE batch_task (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    workspace_id UUID,
    definition_id UUID NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    status_note TEXT,
    rate_per_minute INTEGER,
    max_in_flight INTEGER NOT NULL,
    max_failures INTEGER,
    max_cost_nanos BIGINT,
    spent_nanos BIGINT NOT NULL,
    last_number INTEGER NOT NULL,
    checked_number INTEGER NOT NULL,
    retried_number INTEGER,
    paced_at TIMESTAMPTZ,
    next_at TIMESTAMPTZ,
    created_by TEXT NOT NULL,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspace (tenant_id, id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES task_definition (tenant_id, id)
);
CREATE UNIQUE INDEX batch_task_name_key ON batch_task (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX batch_task_due ON batch_task (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX batch_task_of_definition ON batch_task (tenant_id, definition_id);

CREATE TABLE task_target (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    workspace_id UUID,
    batch_id UUID NOT NULL,
    number INTEGER NOT NULL,
    target_key TEXT NOT NULL,
    input JSONB NOT NULL,
    status TEXT NOT NULL,
    run_id UUID,
    tries INTEGER NOT NULL,
    error JSONB,
    cost_nanos BIGINT NOT NULL,
    former_cost_nanos BIGINT NOT NULL,
    sent_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    failed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, batch_id, target_key),
    UNIQUE (tenant_id, batch_id, number),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES batch_task (tenant_id, id),
    CHECK (status <> 'RUNNING' OR run_id IS NOT NULL)
);
CREATE INDEX task_target_of_status ON task_target (tenant_id, batch_id, status, number);
CREATE INDEX task_target_of_run ON task_target (tenant_id, run_id) WHERE run_id IS NOT NULL;
"
);
