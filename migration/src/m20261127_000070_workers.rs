//! Remote workers, and the queue of runs that only a worker can take.
//!
//! What a run needs of a worker is its capability. The queue of those is an index of its own, and the nodes'
//! queue holds the others only: neither side ever looks at what it cannot take.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000070_workers"
    }
}

const UP: &str = "
CREATE TABLE worker (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    labels JSONB NOT NULL,
    capabilities JSONB NOT NULL,
    slots INTEGER NOT NULL,
    paused_at TIMESTAMPTZ,
    paused_reason TEXT,
    drained_at TIMESTAMPTZ,
    last_seen_at TIMESTAMPTZ NOT NULL,
    last_claim_at TIMESTAMPTZ,
    registered_by TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (slots BETWEEN 1 AND 1000)
);
CREATE UNIQUE INDEX worker_name_key ON worker (tenant_id, name);
ALTER TABLE task_run ADD COLUMN capability TEXT;
ALTER TABLE task_run ADD COLUMN client_seq BIGINT NOT NULL DEFAULT 0;
DROP INDEX task_run_queue;
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND capability IS NULL;
CREATE INDEX task_run_worker_queue ON task_run (tenant_id, capability, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND capability IS NOT NULL;
CREATE INDEX task_run_of_worker ON task_run (lease_owner) WHERE status = 'RUNNING' AND capability IS NOT NULL;
";

const DOWN: &str = "
DROP INDEX task_run_of_worker;
DROP INDEX task_run_worker_queue;
DROP INDEX task_run_queue;
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, concurrency_key, order_key, id) WHERE status = 'PENDING';
ALTER TABLE task_run DROP COLUMN client_seq;
ALTER TABLE task_run DROP COLUMN capability;
DROP TABLE worker;
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DOWN).await
    }
}
