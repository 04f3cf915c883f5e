//! The tenant-scoped store. It owns its connection and is no `ConnectionTrait`: a query that is not
//! filtered by the tenant cannot be run through it, because it does not compile.

#![expect(clippy::disallowed_methods, reason = "this file adds the tenant to what others may not call")]

use std::sync::atomic::Ordering;

use entity::scope::{Place, TenantOwned};
use sea_orm::sea_query::IntoCondition;
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, Condition, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    DbErr, EntityTrait, IntoActiveModel, Order, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QueryResult, QuerySelect as _, Select, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait as _, Value,
};
use uuid::Uuid;

use super::{Db, Dialect, Reach, Reason};
use crate::auth::sight::View;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Recorded;

/// One tenant's rows, seen through a connection or a transaction, as far as the view goes.
pub struct Store<C> {
    tenant: Uuid,
    reach: Reach,
    db: Db,
    connection: C,
    view: View,
}

/// Reads, each on a connection of its own.
pub type TenantDb = Store<DatabaseConnection>;
/// Reads and writes of one transaction; dropped without [`TenantTx::commit`], it is rolled back.
pub type TenantTx = Store<DatabaseTransaction>;

impl<C> Store<C> {
    pub(super) fn new(tenant: Uuid, db: Db, connection: C) -> Self {
        Self { tenant, reach: Reach::Tenant, db, connection, view: View::default() }
    }

    /// The same rows, but for what the view hides.
    pub fn seen_by(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// The same rows, as far as they are in reach.
    #[must_use]
    pub fn within(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    pub fn dialect(&self) -> Dialect {
        self.db.dialect()
    }
}

impl TenantDb {
    pub async fn begin(&self) -> Result<TenantTx> {
        let tx = Store::new(self.tenant, self.db.clone(), begin(&self.db.inner.writer).await?);
        Ok(tx.within(self.reach.clone()).seen_by(self.view.clone()))
    }
}

/// Opens the only kind of write transaction there is. SQLite takes its write lock at once, because
/// a read that turns into a write fails without waiting. The task of its own keeps a begin that is no
/// longer wanted from being dropped half-way: sqlx 0.9 would return that connection to the pool
/// inside an open transaction.
pub(super) async fn begin(writer: &DatabaseConnection) -> Result<DatabaseTransaction> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let writer = writer.clone();
    let begun = tokio::spawn(async move { writer.begin_with_options(options).await });
    Ok(begun.await.map_err(Error::internal)??)
}

impl<C: ConnectionTrait> Store<C> {
    /// The rows that the caller sees. One that is looked up and that the caller's role in its workspace does
    /// not suffice for is refused.
    pub fn find<E: TenantOwned>(&self) -> Query<'_, C, E> {
        self.select(self.reached::<E>(self.view.condition::<E>()), self.view.clone())
    }

    /// The rows that a list shows.
    pub fn list<E: TenantOwned>(&self) -> Query<'_, C, E> {
        self.select(self.reached::<E>(self.view.listed::<E>()), View::default())
    }

    /// The rows of every workspace, for rules over the whole tenant. What is read so is not shown.
    pub fn everywhere<E: TenantOwned>(&self) -> Query<'_, C, E> {
        self.select(None, View::default())
    }

    fn reached<E: TenantOwned>(&self, seen: Option<Condition>) -> Option<Condition> {
        match (seen, self.reach.condition::<E>()) {
            (Some(seen), Some(reached)) => Some(Condition::all().add(seen).add(reached)),
            (seen, reached) => seen.or(reached),
        }
    }

    fn select<E: TenantOwned>(&self, seen: Option<Condition>, view: View) -> Query<'_, C, E> {
        let all = <E as EntityTrait>::find().filter(E::TENANT.eq(self.tenant));
        let select = match seen {
            None => all,
            Some(seen) => all.filter(seen),
        };
        Query { connection: &self.connection, select, view }
    }

    pub async fn get<E: TenantOwned>(&self, id: Uuid) -> Result<Option<E::Model>> {
        self.find::<E>().filter(E::ID.eq(id)).one().await
    }

    /// Raw SQL for the few hot paths, without the limit of reach. `$1` is always the tenant, and the text must
    /// say `tenant_id = $1`.
    pub async fn query(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, DbErr> {
        self.connection.query_all_raw(self.statement(sql, values)?).await
    }

    fn statement(&self, sql: &str, values: Vec<Value>) -> Result<Statement, DbErr> {
        if !sql.contains("tenant_id = $1") {
            return Err(DbErr::Custom("a scoped statement must be bound to its tenant".to_owned()));
        }
        let values = std::iter::once(Value::from(self.tenant)).chain(values);
        Ok(Statement::from_sql_and_values(self.db.dialect().backend(), sql, values))
    }
}

impl TenantTx {
    /// [`crate::ctx::Ctx::commit`] writes the audit row first.
    pub async fn commit(self, _: Recorded) -> Result<()> {
        let committed = self.connection.commit().await;
        self.db.inner.writes.fetch_add(1, Ordering::Release);
        Ok(committed?)
    }

    pub async fn execute(&self, sql: &str, values: Vec<Value>) -> Result<u64, DbErr> {
        Ok(self.connection.execute_raw(self.statement(sql, values)?).await?.rows_affected())
    }

    /// The same transaction without the tenant's filter: people stand above tenants, and what is
    /// done to them must not part from what is done here.
    pub fn system(&self, _reason: Reason) -> &impl ConnectionTrait {
        &self.connection
    }

    /// Until the end of this transaction no other one holds this tenant's lock: for rules over
    /// several of its rows.
    pub async fn lock_tenant(&self) -> Result<(), DbErr> {
        let sql = format!("SELECT id FROM tenant WHERE id = $1{}", self.dialect().for_update());
        let statement =
            Statement::from_sql_and_values(self.dialect().backend(), sql, [Value::from(self.tenant)]);
        self.connection.query_one_raw(statement).await.map(|_| ())
    }

    /// Inserts a row of this tenant, whatever tenant the given one names. Its workspace is open and stays so
    /// until the end of this transaction.
    pub async fn insert<E>(&self, row: E::Model) -> Result<E::Model, DbErr>
    where
        E: TenantOwned,
        E::Model: IntoActiveModel<E::ActiveModel>,
        E::ActiveModel: Send,
    {
        if let (Place::Within(_), Some(workspace)) = (E::PLACE, E::workspace(&row)) {
            self.hold_open(workspace).await?;
        }
        let mut row = row.into_active_model().reset_all();
        row.set(E::TENANT, self.tenant.into());
        E::insert(row).exec_with_returning(&self.connection).await
    }

    async fn hold_open(&self, workspace: Uuid) -> Result<(), DbErr> {
        let sql = format!(
            "SELECT id FROM workspace WHERE tenant_id = $1 AND id = $2 AND archived_at IS NULL \
             AND deleted_at IS NULL{}",
            self.dialect().for_share()
        );
        match self.query(&sql, vec![workspace.into()]).await?.is_empty() {
            true => Err(DbErr::RecordNotInserted),
            false => Ok(()),
        }
    }

    /// Writes the set columns of `changes` where the row is this tenant's, has this id and fulfils
    /// `guard`. `None` when there is no such row.
    pub async fn update<E>(
        &self,
        id: Uuid,
        guard: impl IntoCondition,
        changes: E::ActiveModel,
    ) -> Result<Option<E::Model>, DbErr>
    where
        E: TenantOwned,
    {
        let rows = E::update_many()
            .set(changes)
            .filter(E::TENANT.eq(self.tenant))
            .filter(E::ID.eq(id))
            .filter(self.seen::<E>())
            .filter(guard.into_condition())
            .exec_with_returning(&self.connection)
            .await?;
        Ok(rows.into_iter().next())
    }

    fn seen<E: TenantOwned>(&self) -> Condition {
        self.view.condition::<E>().unwrap_or_else(Condition::all)
    }

    pub async fn delete<E: TenantOwned>(&self, guard: impl IntoCondition) -> Result<u64, DbErr> {
        let deleted = E::delete_many()
            .filter(E::TENANT.eq(self.tenant))
            .filter(self.seen::<E>())
            .filter(guard.into_condition())
            .exec(&self.connection)
            .await?;
        Ok(deleted.rows_affected)
    }
}

/// A select that already carries the filter of the tenant and of the caller's view.
pub struct Query<'a, C, E: EntityTrait> {
    connection: &'a C,
    select: Select<E>,
    view: View,
}

impl<'a, C: ConnectionTrait, E: EntityTrait> Query<'a, C, E> {
    /// The rows of every tenant.
    pub(super) fn of_all(connection: &'a C) -> Self {
        Self { connection, select: E::find(), view: View::default() }
    }
}

impl<C: ConnectionTrait, E: TenantOwned> Query<'_, C, E> {
    #[must_use]
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.select = self.select.filter(condition.into_condition());
        self
    }

    #[must_use]
    pub fn order_by(mut self, column: E::Column, order: Order) -> Self {
        self.select = self.select.order_by(column, order);
        self
    }

    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.select = self.select.limit(rows);
        self
    }

    pub async fn all(self) -> Result<Vec<E::Model>> {
        Ok(self.select.all(self.connection).await?)
    }

    pub async fn one(self) -> Result<Option<E::Model>> {
        let row = self.select.one(self.connection).await?;
        row.iter().try_for_each(|row| self.view.require_row::<E>(row))?;
        Ok(row)
    }

    /// How many rows there are, counted no further than `cap`.
    pub async fn count(self, cap: u64) -> Result<u64> {
        Ok(self.select.limit(cap).count(self.connection).await?)
    }
}
