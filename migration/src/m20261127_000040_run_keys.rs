//! Keys of runs: which of them share the slots of a concurrency key, and for how long a dedupe key answers
//! with its run.
//!
//! A run without a concurrency key has the empty one, which stands first in its lane; the index of live keys
//! holds none of them.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000040_run_keys"
    }
}

const UP: &str = "
ALTER TABLE task_run ADD COLUMN concurrency_key TEXT NOT NULL DEFAULT '';
DROP INDEX task_run_queue;
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, concurrency_key, order_key, id) WHERE status = 'PENDING';
CREATE INDEX task_run_keys ON task_run (tenant_id, concurrency_key, status, id)
    WHERE concurrency_key <> '' AND status IN ('PENDING', 'RUNNING', 'WAITING');
CREATE TABLE run_dedupe (
    tenant_id UUID NOT NULL,
    key TEXT NOT NULL,
    run_id UUID NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX run_dedupe_expiry ON run_dedupe (expires_at);
";

const DOWN: &str = "
DROP TABLE run_dedupe;
DROP INDEX task_run_keys;
DROP INDEX task_run_queue;
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, order_key, id) WHERE status = 'PENDING';
ALTER TABLE task_run DROP COLUMN concurrency_key;
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
