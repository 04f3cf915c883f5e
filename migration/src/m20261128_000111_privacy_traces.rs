//! By what a person who is to be erased is found in the audit log: gathered before anything of them is taken away.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261128_000111_privacy_traces"
    }
}

const UP: &str = "
ALTER TABLE privacy_request ADD COLUMN gathered BIGINT NOT NULL DEFAULT 0;
ALTER TABLE privacy_request ADD COLUMN traces JSONB NOT NULL DEFAULT '{}';
UPDATE privacy_request SET position = 0 WHERE status = 'PENDING';
";

const DOWN: &str = "
ALTER TABLE privacy_request DROP COLUMN traces;
ALTER TABLE privacy_request DROP COLUMN gathered;
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
