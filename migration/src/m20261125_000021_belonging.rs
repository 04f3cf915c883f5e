//! What may belong to a workspace. A run and its questions keep the workspace of what the run is for, without a
//! key: it is copied in the statement that inserts them, and a workspace's row is never deleted.

use sea_orm_migration::prelude::*;

use crate::ddl::{self, Reference};

const OWNERS: [&str; 6] = ["agent", "tool", "task_definition", "api_key", "task_run", "approval"];

const REFERENCES: [Reference; 4] = [
    Reference { table: "agent", column: "workspace_id", to: "workspace" },
    Reference { table: "tool", column: "workspace_id", to: "workspace" },
    Reference { table: "task_definition", column: "workspace_id", to: "workspace" },
    Reference { table: "api_key", column: "workspace_id", to: "workspace" },
];

/// A dedupe key is one among the runs of its workspace: another's live run is not the answer to a create.
const INDEXES: &str = "
CREATE INDEX task_run_of_workspace ON task_run (tenant_id, workspace_id, id) WHERE workspace_id IS NOT NULL;
DROP INDEX task_run_dedupe_key;
CREATE UNIQUE INDEX task_run_dedupe_key ON task_run (tenant_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND workspace_id IS NULL AND status IN ('PENDING', 'RUNNING', 'WAITING');
CREATE UNIQUE INDEX task_run_workspace_dedupe_key ON task_run (tenant_id, workspace_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND workspace_id IS NOT NULL AND status IN ('PENDING', 'RUNNING', 'WAITING');
";

const NO_INDEXES: &str = "
DROP INDEX task_run_workspace_dedupe_key;
DROP INDEX task_run_dedupe_key;
CREATE UNIQUE INDEX task_run_dedupe_key ON task_run (tenant_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND status IN ('PENDING', 'RUNNING', 'WAITING');
DROP INDEX task_run_of_workspace;
";

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_000021_belonging"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in OWNERS {
            ddl::run(manager, &format!("ALTER TABLE {table} ADD COLUMN workspace_id UUID")).await?;
        }
        for reference in REFERENCES {
            reference.set(manager).await?;
        }
        ddl::run(manager, INDEXES).await?;
        ddl::run(manager, "ALTER TABLE team_invite ADD COLUMN workspace_ids JSONB NOT NULL DEFAULT '[]'")
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, "ALTER TABLE team_invite DROP COLUMN workspace_ids").await?;
        ddl::run(manager, NO_INDEXES).await?;
        for reference in REFERENCES {
            reference.forget(manager).await?;
        }
        for table in OWNERS {
            ddl::run(manager, &format!("ALTER TABLE {table} DROP COLUMN workspace_id")).await?;
        }
        Ok(())
    }
}
