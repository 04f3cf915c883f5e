//! Task definitions, runs with their steps and events, approvals and engine nodes.
//!
//! The partial indexes hold live runs only, so a claim's cost does not grow with history. Steps and events
//! have no foreign key to their run: each would lock its row again, and they are only written in the
//! transaction that wrote the run under the same tenant and id.

crate::tables!(
    "m20261123_000003_tasks",
    ["task_definition", "task_run", "run_step", "run_event", "approval", "engine_node"],
    "
CREATE TABLE task_definition (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    type TEXT NOT NULL,
    agent_id UUID,
    tool_id UUID,
    trigger_config JSONB NOT NULL,
    config JSONB NOT NULL,
    is_active BOOLEAN NOT NULL,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agent (tenant_id, id),
    FOREIGN KEY (tenant_id, tool_id) REFERENCES tool (tenant_id, id),
    CHECK ((agent_id IS NULL) <> (tool_id IS NULL))
);
CREATE UNIQUE INDEX task_definition_name_key ON task_definition (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE task_run (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    definition_id UUID,
    agent_id UUID,
    agent_version INTEGER,
    tool_id UUID,
    lane_id UUID NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    input JSONB NOT NULL,
    output JSONB,
    error JSONB,
    policy JSONB NOT NULL,
    priority INTEGER NOT NULL,
    order_key BIGINT NOT NULL,
    available_at TIMESTAMPTZ NOT NULL,
    queue_expires_at TIMESTAMPTZ NOT NULL,
    deadline_at TIMESTAMPTZ,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    lost_count INTEGER NOT NULL,
    fence BIGINT NOT NULL,
    lease_owner UUID,
    lease_expires_at TIMESTAMPTZ,
    attempt_deadline_at TIMESTAMPTZ,
    cancel_requested_at TIMESTAMPTZ,
    wait_until TIMESTAMPTZ,
    event_seq BIGINT NOT NULL,
    step_count INTEGER NOT NULL,
    tokens_input BIGINT NOT NULL,
    tokens_cache_read BIGINT NOT NULL,
    tokens_cache_write BIGINT NOT NULL,
    tokens_output BIGINT NOT NULL,
    tokens_reasoning BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    child_cost_nanos BIGINT NOT NULL,
    unpriced BOOLEAN NOT NULL,
    parent_run_id UUID,
    root_run_id UUID,
    replay_of UUID,
    dedupe_key TEXT,
    created_by TEXT NOT NULL,
    metadata JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    queued_at TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    waiting_since TIMESTAMPTZ,
    queue_ms BIGINT NOT NULL,
    waiting_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES task_definition (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agent (tenant_id, id),
    FOREIGN KEY (tenant_id, tool_id) REFERENCES tool (tenant_id, id),
    FOREIGN KEY (tenant_id, parent_run_id) REFERENCES task_run (tenant_id, id),
    FOREIGN KEY (tenant_id, root_run_id) REFERENCES task_run (tenant_id, id),
    FOREIGN KEY (tenant_id, replay_of) REFERENCES task_run (tenant_id, id),
    CHECK (status IN ('PENDING', 'RUNNING', 'WAITING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CHECK ((agent_id IS NULL) <> (tool_id IS NULL)),
    CHECK ((status = 'RUNNING') = (lease_owner IS NOT NULL AND lease_expires_at IS NOT NULL)),
    CHECK ((status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL))
);
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, order_key, id) WHERE status = 'PENDING';
CREATE INDEX task_run_leases ON task_run (lease_expires_at) WHERE status = 'RUNNING';
CREATE INDEX task_run_slots ON task_run (tenant_id, lane_id) WHERE status = 'RUNNING';
CREATE INDEX task_run_cancels ON task_run (lease_owner) WHERE status = 'RUNNING' AND reason = 'CANCEL_REQUESTED';
CREATE INDEX task_run_waits ON task_run (wait_until) WHERE status = 'WAITING';
CREATE INDEX task_run_queue_expiry ON task_run (queue_expires_at) WHERE status = 'PENDING';
CREATE INDEX task_run_failed ON task_run (tenant_id, id) WHERE status = 'FAILED';
CREATE INDEX task_run_of_agent ON task_run (tenant_id, agent_id, id);
CREATE INDEX task_run_of_definition ON task_run (tenant_id, definition_id, id);
CREATE INDEX task_run_children ON task_run (tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE UNIQUE INDEX task_run_dedupe_key ON task_run (tenant_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND status IN ('PENDING', 'RUNNING', 'WAITING');

CREATE TABLE run_step (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    name TEXT NOT NULL,
    tool_id UUID,
    call_id TEXT,
    effect_key TEXT,
    request JSONB NOT NULL,
    response JSONB,
    stop_reason TEXT,
    tokens_input BIGINT NOT NULL,
    tokens_cache_read BIGINT NOT NULL,
    tokens_cache_write BIGINT NOT NULL,
    tokens_output BIGINT NOT NULL,
    tokens_reasoning BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    unpriced BOOLEAN NOT NULL,
    latency_ms BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    completed_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, run_id, number),
    FOREIGN KEY (tenant_id, tool_id) REFERENCES tool (tenant_id, id)
);

CREATE TABLE run_event (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    type TEXT NOT NULL,
    data JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, run_id, seq)
);

CREATE TABLE approval (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    run_id UUID NOT NULL,
    step_number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    proposal JSONB NOT NULL,
    decision JSONB,
    on_expire TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    decided_by TEXT,
    decided_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES task_run (tenant_id, id)
);
CREATE INDEX approval_open ON approval (expires_at) WHERE status = 'PENDING';
CREATE INDEX approval_of_run ON approval (tenant_id, run_id, step_number);

CREATE TABLE engine_node (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX engine_node_name ON engine_node (name);
"
);
