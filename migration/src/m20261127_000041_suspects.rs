//! Runs that lost executors: the few that wait, and the few that execute, are found at once.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000041_suspects"
    }
}

const UP: &str = "
CREATE INDEX task_run_suspects ON task_run (tenant_id, lane_id, concurrency_key, order_key, id)
    WHERE status = 'PENDING' AND lost_count >= 2;
CREATE INDEX task_run_suspects_of ON task_run (lease_owner) WHERE status = 'RUNNING' AND lost_count >= 2;
";

const DOWN: &str = "
DROP INDEX task_run_suspects_of;
DROP INDEX task_run_suspects;
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
