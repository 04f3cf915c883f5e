//! Schedules, and a record of each time that one was due.
//!
//! Only what may fire has `next_fire_at`, so the loop's index holds nothing else. A fire is open (`settled_at` is
//! null) until it needs no more attention: it waits for its turn, or its run has not been seen to end. It has no
//! foreign key to its run: retention may take the run first.

crate::tables!(
    "m20261127_000020_schedules",
    ["scheduled_task", "schedule_fire"],
    "
CREATE TABLE scheduled_task (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    workspace_id UUID,
    definition_id UUID NOT NULL,
    name TEXT NOT NULL,
    is_owned BOOLEAN NOT NULL,
    schedule_type TEXT NOT NULL,
    recurrence JSONB,
    run_at TIMESTAMPTZ,
    delay_seconds INTEGER,
    input JSONB NOT NULL,
    overlap TEXT NOT NULL,
    catchup TEXT NOT NULL,
    catchup_window_seconds INTEGER NOT NULL,
    jitter_seconds INTEGER NOT NULL,
    starts_at TIMESTAMPTZ,
    ends_at TIMESTAMPTZ,
    status TEXT NOT NULL,
    status_reason TEXT,
    status_note TEXT,
    retry_count INTEGER NOT NULL,
    max_retries INTEGER,
    next_due_at TIMESTAMPTZ,
    next_fire_at TIMESTAMPTZ,
    last_due_at TIMESTAMPTZ,
    created_by TEXT NOT NULL,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspace (tenant_id, id),
    FOREIGN KEY (tenant_id, definition_id) REFERENCES task_definition (tenant_id, id),
    CHECK ((next_due_at IS NULL) = (next_fire_at IS NULL)),
    CHECK (next_due_at IS NULL OR (status = 'ACTIVE' AND deleted_at IS NULL))
);
CREATE UNIQUE INDEX scheduled_task_name_key ON scheduled_task (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX scheduled_task_due ON scheduled_task (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX scheduled_task_of_definition ON scheduled_task (tenant_id, definition_id);

CREATE TABLE schedule_fire (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    workspace_id UUID,
    schedule_id UUID NOT NULL,
    due_at TIMESTAMPTZ NOT NULL,
    last_due_at TIMESTAMPTZ NOT NULL,
    instants INTEGER NOT NULL,
    fire_at TIMESTAMPTZ NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    input JSONB,
    run_id UUID,
    run_status TEXT,
    created_by TEXT NOT NULL,
    settled_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, schedule_id, due_at),
    FOREIGN KEY (tenant_id, schedule_id) REFERENCES scheduled_task (tenant_id, id),
    CHECK ((status = 'STARTED') = (run_id IS NOT NULL)),
    CHECK (status IN ('STARTED', 'PENDING') OR settled_at IS NOT NULL)
);
CREATE INDEX schedule_fire_of_schedule ON schedule_fire (tenant_id, schedule_id, id);
CREATE INDEX schedule_fire_of_run ON schedule_fire (tenant_id, run_id) WHERE run_id IS NOT NULL;
CREATE INDEX schedule_fire_open ON schedule_fire (tenant_id, schedule_id) WHERE settled_at IS NULL;
CREATE INDEX schedule_fire_pending ON schedule_fire (fire_at) WHERE status = 'PENDING';
"
);
