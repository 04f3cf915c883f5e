//! Paused definitions, and the queued runs that one holds.
//!
//! What is held stands outside the queues: claims walk those, so however much a definition holds, it is passed
//! once. `releasing_at` is set while a resumed definition may still hold something.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261128_000090_definition_pauses"
    }
}

const UP: &str = "
ALTER TABLE task_definition ADD COLUMN paused_at TIMESTAMPTZ;
ALTER TABLE task_definition ADD COLUMN paused_reason TEXT;
ALTER TABLE task_definition ADD COLUMN releasing_at TIMESTAMPTZ;
CREATE INDEX task_definition_paused ON task_definition (tenant_id, id) WHERE paused_at IS NOT NULL;
CREATE INDEX task_definition_releasing ON task_definition (releasing_at) WHERE releasing_at IS NOT NULL;
ALTER TABLE task_run ADD COLUMN held_at TIMESTAMPTZ;
DROP INDEX task_run_queue;
DROP INDEX task_run_worker_queue;
DROP INDEX task_run_suspects;
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND capability IS NULL AND held_at IS NULL;
CREATE INDEX task_run_worker_queue ON task_run (tenant_id, capability, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND capability IS NOT NULL AND held_at IS NULL;
CREATE INDEX task_run_suspects ON task_run (tenant_id, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND lost_count >= 2 AND held_at IS NULL;
CREATE INDEX task_run_held ON task_run (tenant_id, definition_id, order_key, id)
    WHERE status = 'PENDING' AND held_at IS NOT NULL;
";

const DOWN: &str = "
DROP INDEX task_run_held;
DROP INDEX task_run_suspects;
DROP INDEX task_run_worker_queue;
DROP INDEX task_run_queue;
CREATE INDEX task_run_queue ON task_run (tenant_id, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND capability IS NULL;
CREATE INDEX task_run_worker_queue ON task_run (tenant_id, capability, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND capability IS NOT NULL;
CREATE INDEX task_run_suspects ON task_run (tenant_id, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND lost_count >= 2;
ALTER TABLE task_run DROP COLUMN held_at;
DROP INDEX task_definition_releasing;
DROP INDEX task_definition_paused;
ALTER TABLE task_definition DROP COLUMN releasing_at;
ALTER TABLE task_definition DROP COLUMN paused_reason;
ALTER TABLE task_definition DROP COLUMN paused_at;
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
