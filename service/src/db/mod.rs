//! Connections and the tenant-scoped store. Nothing outside this room sees a raw connection, and
//! [`dialect`] (with [`rows`]) is the only file that knows which database it talks to.

mod connect;
mod copy;
mod counted;
pub mod dialect;
mod failure;
mod hints;
mod migrate;
mod reach;
mod recent;
pub mod rows;
mod store;
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::DatabaseConnection;
use sea_orm::sqlx::PgPool;
use uuid::Uuid;

pub use connect::DatabaseConfig;
pub use counted::Statements;
pub use dialect::Dialect;
pub use failure::{Violation, is_overload, on_violation, violation};
pub use hints::Hints;
pub use reach::Reach;
pub use recent::Recent;
pub use rows::{Column, Kind};
pub use store::{Query, Store, TenantDb, TenantTx};
pub use system::{Reason, SystemDb, SystemTx};

use crate::error::Result;

/// The database: on SQLite one writing connection and several reading ones, on PostgreSQL one pool.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Pools>,
}

struct Pools {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    /// The engine's own, on PostgreSQL: readers in numbers do not keep commits waiting.
    engine: Option<DatabaseConnection>,
    /// Where other nodes are heard, on PostgreSQL; it connects when it is asked to.
    listener: Option<PgPool>,
    dialect: Dialect,
    /// Counts this node's commits through the tenant-scoped store: what was cached before is stale.
    writes: AtomicU64,
    /// Held while the process lives: one server a SQLite file.
    _lock: Option<std::fs::File>,
}

impl Db {
    pub fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// Changes with every commit of this node through the tenant-scoped store.
    pub fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::Acquire)
    }

    /// The rows of one tenant, for reading; [`TenantDb::begin`] writes.
    pub fn tenant(&self, tenant: Uuid) -> TenantDb {
        Store::new(tenant, self.clone(), self.inner.reader.clone())
    }

    /// The one escape from tenant scope, for the engine and the sign-in path.
    pub fn system(&self, reason: Reason) -> SystemDb {
        SystemDb::new(self.clone(), reason)
    }

    /// Closes every connection; used by tests and at the end of a process.
    pub async fn close(self) {
        let _ = self.inner.writer.clone().close().await;
        let _ = self.inner.reader.clone().close().await;
        if let Some(engine) = self.inner.engine.clone() {
            let _ = engine.close().await;
        }
        if let Some(listener) = &self.inner.listener {
            listener.close().await;
        }
    }

    /// Brings the schema up to date. Nodes that start together take turns.
    pub async fn migrate(&self) -> Result<()> {
        migrate::up(self).await
    }

    /// Whether every migration of this binary is applied.
    pub async fn is_migrated(&self) -> Result<bool> {
        migrate::is_current(self).await
    }
}
