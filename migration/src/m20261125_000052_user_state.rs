//! Since when a person may not act, and what they agreed to.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_000052_user_state"
    }
}

const COLUMNS: [&str; 5] = [
    "deactivated_at TIMESTAMPTZ",
    "terms_version TEXT",
    "terms_accepted_at TIMESTAMPTZ",
    "privacy_version TEXT",
    "privacy_accepted_at TIMESTAMPTZ",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            ddl::run(manager, &format!("ALTER TABLE app_user ADD COLUMN {column}")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            let name = column.split(' ').next().unwrap_or_default();
            ddl::run(manager, &format!("ALTER TABLE app_user DROP COLUMN {name}")).await?;
        }
        Ok(())
    }
}
