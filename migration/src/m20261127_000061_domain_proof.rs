//! How a domain was proved: until now by DNS alone.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000061_domain_proof"
    }
}

const UP: &str = "
ALTER TABLE tenant_domain ADD COLUMN verified_by TEXT;
UPDATE tenant_domain SET verified_by = 'DNS' WHERE verified_at IS NOT NULL;
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
        ddl::run(manager, "ALTER TABLE tenant_domain DROP COLUMN verified_by").await
    }
}
