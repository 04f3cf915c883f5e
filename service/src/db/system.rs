//! The one escape from tenant scope. A rule test lists who takes it, and the list may only shrink.

use entity::scope::Record;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait,
    ExecResult, IntoActiveModel, ModelTrait, QueryResult, Statement, TryInsertResult, Value,
};

use super::{Db, Dialect, Query, store};
use crate::error::Result;

/// Why a query may look at every tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The engine claims, renews and recovers runs of all tenants.
    Engine,
    /// A credential names its tenant only after it was found.
    SignIn,
    /// Platform administrators create and list tenants.
    Platform,
    /// People, whose names and memberships stand above tenants.
    People,
    /// Readiness, migrations and the database's clock.
    Operations,
    /// The audit row, whose chain is locked in the transaction of the change.
    Audit,
}

#[derive(Clone)]
pub struct SystemDb {
    db: Db,
    reason: Reason,
}

impl SystemDb {
    pub(super) fn new(db: Db, reason: Reason) -> Self {
        Self { db, reason }
    }

    pub fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// For reading; on SQLite writing through it is refused.
    pub fn connection(&self) -> &impl ConnectionTrait {
        &self.db.inner.reader
    }

    /// The rows of every tenant.
    pub fn find<E: Record>(&self) -> Query<'_, impl ConnectionTrait, E> {
        Query::of_all(&self.db.inner.reader)
    }

    pub async fn begin(&self) -> Result<SystemTx> {
        let writer = self.engine().unwrap_or(&self.db.inner.writer);
        Ok(SystemTx { dialect: self.db.dialect(), transaction: store::begin(writer).await? })
    }

    pub async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
        let statement = Statement::from_sql_and_values(self.db.dialect().backend(), sql, values);
        self.engine().unwrap_or(&self.db.inner.reader).query_all_raw(statement).await
    }

    fn engine(&self) -> Option<&DatabaseConnection> {
        self.db.inner.engine.as_ref().filter(|_| self.reason == Reason::Engine)
    }
}

pub struct SystemTx {
    dialect: Dialect,
    transaction: DatabaseTransaction,
}

impl SystemTx {
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub fn connection(&self) -> &impl ConnectionTrait {
        &self.transaction
    }

    pub async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }

    pub async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
        let statement = Statement::from_sql_and_values(self.dialect.backend(), sql, values);
        self.transaction.query_all_raw(statement).await
    }

    pub async fn execute(&self, sql: &str, values: Vec<Value>) -> Result<ExecResult, DbErr> {
        let statement = Statement::from_sql_and_values(self.dialect.backend(), sql, values);
        self.transaction.execute_raw(statement).await
    }
}

impl SystemTx {
    /// Inserts the row, of whatever tenant it names, unless one with a key of it is there: then `false`.
    #[expect(clippy::disallowed_methods, reason = "the row carries its tenant")]
    pub async fn insert_new<M>(&self, row: M) -> Result<bool, DbErr>
    where
        M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        <M::Entity as EntityTrait>::ActiveModel: ActiveModelTrait<Entity = M::Entity> + Send,
    {
        // Without a target: `on_conflict_do_nothing` looks at the primary key only.
        let unless = OnConflict::new().do_nothing().to_owned();
        let insert = M::Entity::insert(row.into_active_model().reset_all()).on_conflict(unless);
        let inserted = insert.try_insert().exec_without_returning(&self.transaction).await?;
        Ok(!matches!(inserted, TryInsertResult::Conflicted | TryInsertResult::Inserted(0)))
    }

    /// Lets one node at a time do what `name` stands for, until the transaction ends.
    pub async fn lock(&self, name: &str) -> Result<(), DbErr> {
        if let Some(sql) = self.dialect.named_lock() {
            self.query(sql, vec![name.into()]).await?;
        }
        Ok(())
    }

    /// The same, if nobody else does it now.
    pub async fn try_lock(&self, name: &str) -> Result<bool, DbErr> {
        let Some(sql) = self.dialect.try_named_lock() else { return Ok(true) };
        let rows = self.query(sql, vec![name.into()]).await?;
        rows.first().map_or(Ok(false), |row| row.try_get("", "taken"))
    }
}
