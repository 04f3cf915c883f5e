//! Rate limits of tools and integrations. How far one is used up stands in a row of its own, apart from the wide
//! rows that people read and change, in microseconds since 1970.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261128_000091_rate_buckets"
    }
}

const UP: &str = "
ALTER TABLE tool ADD COLUMN rate_limit JSONB;
ALTER TABLE integration ADD COLUMN rate_limit JSONB;
CREATE TABLE rate_bucket (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    used_until BIGINT NOT NULL,
    promised_until BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
";

const DOWN: &str = "
DROP TABLE rate_bucket;
ALTER TABLE integration DROP COLUMN rate_limit;
ALTER TABLE tool DROP COLUMN rate_limit;
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
