//! Keys with limits, a secret that is changed with an overlap, and how much each is used.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_000030_api_keys"
    }
}

const UP: &str = "
ALTER TABLE api_key ADD COLUMN agent_ids JSONB;
ALTER TABLE api_key ADD COLUMN ip_allow_list JSONB NOT NULL DEFAULT '[]';
ALTER TABLE api_key ADD COLUMN previous_hash BYTEA;
ALTER TABLE api_key ADD COLUMN previous_expires_at TIMESTAMPTZ;
ALTER TABLE api_key ADD COLUMN rotated_at TIMESTAMPTZ;
CREATE UNIQUE INDEX api_key_previous_hash_key ON api_key (previous_hash) WHERE previous_hash IS NOT NULL;

CREATE TABLE api_key_usage (
    tenant_id UUID NOT NULL,
    key_id UUID NOT NULL,
    day TIMESTAMPTZ NOT NULL,
    succeeded BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key_id, day),
    FOREIGN KEY (tenant_id, key_id) REFERENCES api_key (tenant_id, id)
);
CREATE INDEX api_key_usage_by_day ON api_key_usage (tenant_id, day);
";

const DOWN: &str = "
DROP TABLE api_key_usage;
DROP INDEX api_key_previous_hash_key;
ALTER TABLE api_key DROP COLUMN rotated_at;
ALTER TABLE api_key DROP COLUMN previous_expires_at;
ALTER TABLE api_key DROP COLUMN previous_hash;
ALTER TABLE api_key DROP COLUMN ip_allow_list;
ALTER TABLE api_key DROP COLUMN agent_ids;
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
