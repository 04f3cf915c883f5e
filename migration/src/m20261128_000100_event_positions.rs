//! Where an event stands among all of its tenant's, in the order of their commits: what streams over many runs
//! read by and go on behind.
//!
//! Events of before keep 0: they are in no stream's look-back, and inside a tree their runs and numbers order them.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261128_000100_event_positions"
    }
}

const UP: &str = "
ALTER TABLE run_event ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
CREATE INDEX run_event_position ON run_event (tenant_id, position);
";

const DOWN: &str = "
DROP INDEX run_event_position;
ALTER TABLE run_event DROP COLUMN position;
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
