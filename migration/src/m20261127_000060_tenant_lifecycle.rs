//! Tenants that are suspended, stopped or closed, and the receipts of those that are erased.
//!
//! A receipt refers to no tenant: it is what is left of one. What refers to a run has an index, so that
//! removing runs does not look through all of them for each.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000060_tenant_lifecycle"
    }
}

const UP: &str = "
ALTER TABLE tenant ADD COLUMN status_reason TEXT;
ALTER TABLE tenant ADD COLUMN closed_at TIMESTAMPTZ;
ALTER TABLE tenant ADD COLUMN closed_by TEXT;
ALTER TABLE tenant ADD COLUMN closed_from TEXT;
ALTER TABLE tenant ADD COLUMN erase_at TIMESTAMPTZ;
ALTER TABLE tenant ADD COLUMN stopped_at TIMESTAMPTZ;
ALTER TABLE tenant ADD COLUMN stopped_by TEXT;
ALTER TABLE tenant ADD COLUMN stop_reason TEXT;
CREATE INDEX tenant_to_erase ON tenant (erase_at) WHERE erase_at IS NOT NULL;
CREATE INDEX tenant_stopped ON tenant (id) WHERE stopped_at IS NOT NULL;

ALTER TABLE agent ADD COLUMN stopped_at TIMESTAMPTZ;


CREATE TABLE tenant_erasure (
    id UUID PRIMARY KEY,
    slug TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    removed JSONB NOT NULL,
    completed_at TIMESTAMPTZ,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX tenant_erasure_slug_key ON tenant_erasure (slug);
CREATE INDEX tenant_erasure_open ON tenant_erasure (id) WHERE completed_at IS NULL;
";

const DOWN: &str = "
DROP TABLE tenant_erasure;
ALTER TABLE agent DROP COLUMN stopped_at;
DROP INDEX tenant_stopped;
DROP INDEX tenant_to_erase;
ALTER TABLE tenant DROP COLUMN stop_reason;
ALTER TABLE tenant DROP COLUMN stopped_by;
ALTER TABLE tenant DROP COLUMN stopped_at;
ALTER TABLE tenant DROP COLUMN erase_at;
ALTER TABLE tenant DROP COLUMN closed_from;
ALTER TABLE tenant DROP COLUMN closed_by;
ALTER TABLE tenant DROP COLUMN closed_at;
ALTER TABLE tenant DROP COLUMN status_reason;
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
