//! Which master keys there are and which one seals, what each node knows of them, and when a key of
//! access tokens begins to sign.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_000050_keys"
    }
}

const UP: &str = "
CREATE TABLE master_key (
    version INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    seals_since TIMESTAMPTZ,
    emptied_at TIMESTAMPTZ
);
ALTER TABLE engine_node ADD COLUMN key_versions TEXT NOT NULL DEFAULT '';
ALTER TABLE engine_node ADD COLUMN seals_with INTEGER;
ALTER TABLE engine_node ADD COLUMN stopped_at TIMESTAMPTZ;
ALTER TABLE signing_key ADD COLUMN signs_from TIMESTAMPTZ;
ALTER TABLE signing_key ADD COLUMN public_key BYTEA;
UPDATE signing_key SET signs_from = created_at;
";

const DOWN: &str = "
ALTER TABLE signing_key DROP COLUMN public_key;
ALTER TABLE signing_key DROP COLUMN signs_from;
ALTER TABLE engine_node DROP COLUMN stopped_at;
ALTER TABLE engine_node DROP COLUMN seals_with;
ALTER TABLE engine_node DROP COLUMN key_versions;
DROP TABLE master_key;
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
