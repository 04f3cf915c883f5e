//! Trees of runs: what a run knows of its children, and what a parent waits for. A run of a graph names a
//! definition, and neither an agent nor a tool.
//!
//! The indexes hold runs of trees only, and their predicates name no column that a run's progress changes:
//! on PostgreSQL such a change would write each of the table's indexes anew.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::Statement;

use crate::ddl::{self, Check};

const COLUMNS: &str = "
ALTER TABLE task_run ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_run ADD COLUMN child_key TEXT;
ALTER TABLE task_run ADD COLUMN settled BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE task_run ADD COLUMN settled_nanos BIGINT NOT NULL DEFAULT 0;
ALTER TABLE task_run ADD COLUMN children INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_run ADD COLUMN children_ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_run ADD COLUMN wake_ended INTEGER;
ALTER TABLE task_run ADD COLUMN wake_failed INTEGER;
ALTER TABLE task_run ADD COLUMN cancel_reason TEXT;
DROP INDEX task_run_children;
CREATE UNIQUE INDEX task_run_child_key ON task_run (tenant_id, parent_run_id, child_key)
    WHERE parent_run_id IS NOT NULL;
DROP INDEX task_run_of_root;
CREATE INDEX task_run_of_root ON task_run (tenant_id, root_run_id, id) WHERE root_run_id IS NOT NULL;
CREATE INDEX task_run_unsettled ON task_run (tenant_id, parent_run_id)
    WHERE parent_run_id IS NOT NULL AND completed_at IS NOT NULL AND NOT settled;
CREATE INDEX task_run_outlived ON task_run (tenant_id, id)
    WHERE completed_at IS NOT NULL AND children > children_ended;
";

const NO_COLUMNS: &str = "
DROP INDEX task_run_outlived;
DROP INDEX task_run_unsettled;
DROP INDEX task_run_of_root;
CREATE INDEX task_run_of_root ON task_run (tenant_id, root_run_id) WHERE root_run_id IS NOT NULL;
DROP INDEX task_run_child_key;
CREATE INDEX task_run_children ON task_run (tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL;
ALTER TABLE task_run DROP COLUMN cancel_reason;
ALTER TABLE task_run DROP COLUMN wake_failed;
ALTER TABLE task_run DROP COLUMN wake_ended;
ALTER TABLE task_run DROP COLUMN children_ended;
ALTER TABLE task_run DROP COLUMN children;
ALTER TABLE task_run DROP COLUMN settled_nanos;
ALTER TABLE task_run DROP COLUMN settled;
ALTER TABLE task_run DROP COLUMN child_key;
ALTER TABLE task_run DROP COLUMN depth;
";

const COLUMNS_OF_CHECK: [&str; 2] = ["agent_id", "tool_id"];
const ONE: &str = "(agent_id IS NULL) <> (tool_id IS NULL)";
const AT_MOST_ONE: &str = "agent_id IS NULL OR tool_id IS NULL";

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261127_000030_run_trees"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["task_definition", "task_run"] {
            Check { table, columns: COLUMNS_OF_CHECK, says: ONE }.replace(manager, AT_MOST_ONE).await?;
        }
        ddl::run(manager, COLUMNS).await
    }

    /// Refused by the database while there are runs or definitions of graphs.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, NO_COLUMNS).await?;
        for table in ["task_run", "task_definition"] {
            let sql = format!("SELECT 1 AS one FROM {table} WHERE NOT ({ONE}) LIMIT 1");
            let connection = manager.get_connection();
            let statement = Statement::from_string(connection.get_database_backend(), sql);
            if connection.query_one_raw(statement).await?.is_some() {
                return Err(DbErr::Migration(format!("{table} has rows of graphs")));
            }
            Check { table, columns: COLUMNS_OF_CHECK, says: AT_MOST_ONE }.replace(manager, ONE).await?;
        }
        Ok(())
    }
}
