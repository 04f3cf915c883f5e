//! Migrations. sea-orm takes no lock across nodes, so a PostgreSQL advisory lock is taken here.

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

use super::{Db, Dialect};
use crate::error::{Error, Result};

/// "mission" as a number: the advisory lock that nodes take in turn.
const LOCK: i64 = 0x006d_6973_7369_6f6e;

pub(super) async fn up(db: &Db) -> Result<()> {
    match db.inner.dialect {
        Dialect::Sqlite => Migrator::up(&db.inner.writer, None).await.map_err(Error::internal),
        Dialect::Postgres => {
            // The lock belongs to a connection of its own: the pool may hand out another for each statement.
            let pool = db.inner.writer.get_postgres_connection_pool();
            let mut holder = pool.acquire().await.map_err(Error::internal)?;
            sea_orm::sqlx::query("SELECT pg_advisory_lock($1)")
                .bind(LOCK)
                .execute(&mut *holder)
                .await
                .map_err(Error::internal)?;
            let outcome = Migrator::up(&db.inner.writer, None).await.map_err(Error::internal);
            sea_orm::sqlx::query("SELECT pg_advisory_unlock($1)")
                .bind(LOCK)
                .execute(&mut *holder)
                .await
                .map_err(Error::internal)?;
            outcome
        }
    }
}

pub(super) async fn is_current(db: &Db) -> Result<bool> {
    let backend = match db.inner.dialect {
        Dialect::Sqlite => DbBackend::Sqlite,
        Dialect::Postgres => DbBackend::Postgres,
    };
    let applied = db
        .inner
        .reader
        .query_one_raw(Statement::from_string(backend, "SELECT COUNT(*) AS applied FROM seaql_migrations"))
        .await?;
    let applied: i64 = applied.map(|row| row.try_get("", "applied")).transpose()?.unwrap_or(0);
    Ok(usize::try_from(applied).unwrap_or(0) >= Migrator::migrations().len())
}
