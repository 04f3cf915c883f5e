//! The embedded database as a file: a copy of one moment of it, and whether a copy is whole.

use std::path::Path;

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, QueryResult, Statement};

use super::Db;
use crate::error::{Error, Result};

impl Db {
    /// Writes one moment of the database to `file`, which must be empty, while others read and write.
    ///
    /// # Errors
    /// [`Error::Invalid`] on PostgreSQL.
    pub async fn copy_to(&self, file: &Path) -> Result<()> {
        let Some(sql) = self.inner.dialect.copy() else {
            let message = "PostgreSQL has its own tools for this: see docs/operating.md.";
            return Err(Error::invalid("DATABASE_URL", "not_sqlite", message));
        };
        let file = file.to_str().ok_or_else(|| Error::internal("the file's name is not UTF-8"))?;
        let statement =
            Statement::from_sql_and_values(self.inner.dialect.backend(), sql, [file.to_owned().into()]);
        self.inner.writer.execute_raw(statement).await?;
        Ok(())
    }

    /// What is wrong with the file, if anything is: pages, indexes or references.
    pub async fn damage(&self) -> Result<Option<String>> {
        let rows = self.pragma("PRAGMA integrity_check(1)").await?;
        let verdict: String = match rows.first() {
            Some(row) => row.try_get_by_index(0)?,
            None => return Ok(Some("it cannot be checked".to_owned())),
        };
        if verdict != "ok" {
            return Ok(Some(verdict));
        }
        let rows = self.pragma("PRAGMA foreign_key_check").await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let table: String = row.try_get_by_index(0)?;
        Ok(Some(format!("a row of {table} refers to one that is not there")))
    }

    /// The migrations of its schema, in order.
    pub async fn migrations(&self) -> Result<Vec<String>> {
        let rows = self.pragma("SELECT version FROM seaql_migrations ORDER BY version").await?;
        Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
    }

    /// The first of these that this program does not know.
    pub fn unknown_migration<'a>(&self, migrations: &'a [String]) -> Option<&'a str> {
        let known: Vec<String> = Migrator::migrations().iter().map(|known| known.name().to_owned()).collect();
        migrations.iter().find(|name| !known.contains(name)).map(String::as_str)
    }

    /// Puts the write-ahead log into the file.
    pub async fn checkpoint(&self) -> Result<()> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let statement = Statement::from_string(self.inner.dialect.backend(), sql);
        let row = self.inner.writer.query_one_raw(statement).await?;
        let busy: i32 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(1);
        if busy == 0 { Ok(()) } else { Err(Error::internal("the write-ahead log is in use")) }
    }

    async fn pragma(&self, sql: &str) -> Result<Vec<QueryResult>> {
        let statement = Statement::from_string(self.inner.dialect.backend(), sql);
        Ok(self.inner.reader.query_all_raw(statement).await?)
    }
}
