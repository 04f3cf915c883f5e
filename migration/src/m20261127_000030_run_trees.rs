//! Trees of runs: what a run knows of its children, and what a parent waits for. A run of a graph names a
//! definition, and neither an agent nor a tool.
//!
//! The indexes hold runs of trees only, and their predicates name no column that a run's progress changes:
//! on PostgreSQL such a change would write each of the table's indexes anew.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

use crate::ddl;

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
            replace_check(manager, table, ONE, AT_MOST_ONE).await?;
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
            replace_check(manager, table, AT_MOST_ONE, ONE).await?;
        }
        Ok(())
    }
}

/// A table's CHECK of one text becomes one of another. Its rows stay where they are.
async fn replace_check(manager: &SchemaManager<'_>, table: &str, old: &str, new: &str) -> Result<(), DbErr> {
    match manager.get_connection().get_database_backend() {
        DbBackend::Sqlite => rewrite(manager, table, old, new).await,
        _ => replace_constraint(manager, table, new).await,
    }
}

/// SQLite cannot alter a CHECK. Its documentation ("Making Other Kinds Of Table Schema Changes", the second
/// procedure) rewrites the table's text where the stored rows do not change by it: no row is copied, and no
/// index, trigger or reference of another table is touched, as dropping the table would.
async fn rewrite(manager: &SchemaManager<'_>, table: &str, old: &str, new: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let ask = |sql: String| Statement::from_string(DbBackend::Sqlite, sql);
    let version: i64 = match connection.query_one_raw(ask("PRAGMA schema_version".to_owned())).await? {
        Some(row) => row.try_get_by_index(0)?,
        None => return Err(DbErr::Migration("the schema has no version".to_owned())),
    };
    connection.execute_unprepared("PRAGMA writable_schema = ON").await?;
    let sql = format!(
        "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK ({old})', 'CHECK ({new})') \
         WHERE type = 'table' AND name = '{table}' AND instr(sql, 'CHECK ({old})') > 0"
    );
    let changed = connection.execute_unprepared(&sql).await?.rows_affected();
    connection.execute_unprepared(&format!("PRAGMA schema_version = {}", version + 1)).await?;
    // Reads the schema anew.
    connection.execute_unprepared("PRAGMA writable_schema = RESET").await?;
    if changed != 1 {
        return Err(DbErr::Migration(format!("{table} has no CHECK ({old})")));
    }
    Ok(())
}

/// The constraint was made without a name: it is found by what it says.
async fn replace_constraint(manager: &SchemaManager<'_>, table: &str, new: &str) -> Result<(), DbErr> {
    let sql = format!(
        "DO $$ DECLARE found TEXT; BEGIN \
         SELECT conname INTO STRICT found FROM pg_constraint \
         WHERE conrelid = '{table}'::regclass AND contype = 'c' \
         AND pg_get_constraintdef(oid) LIKE '%agent_id IS NULL%' \
         AND pg_get_constraintdef(oid) LIKE '%tool_id IS NULL%'; \
         EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', found); \
         END $$"
    );
    manager.get_connection().execute_unprepared(&sql).await?;
    let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {table}_target CHECK ({new})");
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}
