//! Workers that are sent their runs instead of asking for them.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261128_000101_worker_deliveries"
    }
}

const UP: &str = "
ALTER TABLE worker ADD COLUMN delivery_url TEXT;
ALTER TABLE worker ADD COLUMN delivery_secret BYTEA;
ALTER TABLE worker ADD COLUMN delivery_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN delivery_after TIMESTAMPTZ;
ALTER TABLE worker ADD COLUMN delivery_error TEXT;
CREATE INDEX worker_deliveries ON worker (tenant_id, id) WHERE delivery_url IS NOT NULL;
";

const DOWN: &str = "
DROP INDEX worker_deliveries;
ALTER TABLE worker DROP COLUMN delivery_error;
ALTER TABLE worker DROP COLUMN delivery_after;
ALTER TABLE worker DROP COLUMN delivery_failures;
ALTER TABLE worker DROP COLUMN delivery_secret;
ALTER TABLE worker DROP COLUMN delivery_url;
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
