//! What the engine's sweep does for closed tenants whose time is over. Any number of nodes look: the receipt's
//! row is the lock, and who finds it taken leaves that tenant to the other.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::governance::tenant_erasure;
use entity::identity::app_user;
use entity::identity::tenant::{ActiveModel, Column, Entity, Model, TenantStatus};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, FromQueryResult as _, Order, QueryResult, Statement,
    Value,
};
use serde_json::json;
use uuid::Uuid;

use super::tables::{AUDIT, ERASED, Erased};
use crate::core::Core;
use crate::crud::document;
use crate::db::{Reason, TenantTx};
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, Recorded, append};
use crate::governance::{privacy_requests, tenant_retention};

/// Tenants of one sweep; batches of one of them, and rows of one batch.
const TENANTS: u64 = 3;
const BATCHES: usize = 20;
const BATCH: usize = 1_000;
/// People of one batch: each is forgotten by some ten statements.
const PEOPLE: usize = 50;

const LOCKED: &str = "SELECT removed FROM tenant_erasure WHERE id = $1 AND completed_at IS NULL";
const COUNT: &str = "UPDATE tenant_erasure SET removed = $2, completed_at = $3, revision = revision + 1, \
     updated_at = $4 WHERE id = $1";
const BEGUN: &str = "INSERT INTO tenant_erasure (id, slug, requested_by, requested_at, removed, revision, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $6)";
/// People who belong nowhere else, and whom nothing but this tenant made known.
const LONERS: &str = "SELECT * FROM app_user u WHERE tenant_id = $1 AND platform_role = 'MEMBER' \
     AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.user_id = u.id) LIMIT";
const HOMELESS: &str = "UPDATE app_user SET tenant_id = NULL WHERE tenant_id = $1";

/// Begins the erasures that are due, and goes on with those that have begun.
pub async fn sweep(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let system = core.db.system(Reason::Engine);
    let due = system.find::<Entity>().filter(is_due(now)).order_by(Column::Id, Order::Asc).limit(TENANTS);
    for tenant in due.all().await? {
        begin(core, tenant, now).await?;
    }
    let open = system
        .find::<tenant_erasure::Entity>()
        .filter(tenant_erasure::Column::CompletedAt.is_null())
        .order_by(tenant_erasure::Column::Id, Order::Asc)
        .limit(TENANTS);
    for receipt in open.all().await? {
        if let Err(error) = erase(core, receipt.id).await {
            tracing::error!(%error, tenant = %receipt.id, "the erasure of a tenant could not go on");
        }
    }
    Ok(())
}

fn is_due(now: DateTime<Utc>) -> Condition {
    Condition::all().add(Column::Status.eq(TenantStatus::Closing)).add(Column::EraseAt.lte(now))
}

/// From here on nobody can reopen the tenant, and nobody gets in.
async fn begin(core: &Core, tenant: Model, now: DateTime<Utc>) -> Result<()> {
    let Model { id, slug, closed_by, closed_at, .. } = tenant;
    let tx = core.db.tenant(id).begin().await?;
    let changes = ActiveModel { status: Set(TenantStatus::Erasing), ..ActiveModel::default() };
    if tx.update::<Entity>(id, is_due(now), changes).await?.is_none() {
        return Ok(());
    }
    let values = vec![
        id.into(),
        slug.into(),
        closed_by.unwrap_or_else(|| "system".to_owned()).into(),
        closed_at.unwrap_or(now).into(),
        json!({}).into(),
        now.into(),
    ];
    execute(&tx, BEGUN, values).await?;
    let change = Change::of::<Entity>(id).with(json!({ "status": "ERASING" }));
    let entry = Entry::of_platform("system", "erase_tenant", id, change);
    let recorded = append(core, tx.system(Reason::Audit), entry).await?;
    tx.commit(recorded).await?;
    core.principals.clear();
    tracing::info!(tenant = %id, "the erasure of a closed tenant begins");
    Ok(())
}

/// Removes up to [`BATCHES`] batches of the tenant's rows.
async fn erase(core: &Core, tenant: Uuid) -> Result<()> {
    let mut left = BATCHES;
    for erased in ERASED {
        loop {
            let Some(removed) = batch(core, tenant, erased).await? else { return Ok(()) };
            if removed == 0 {
                break;
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
    finish(core, tenant, left).await
}

/// Removes the next rows of a table; `None` where another node is at it.
async fn batch(core: &Core, tenant: Uuid, erased: &Erased) -> Result<Option<u64>> {
    let tx = core.db.tenant(tenant).begin().await?;
    let Some(mut receipt) = receipt(&tx).await? else { return Ok(None) };
    let cut = cut(&tx, erased).await?;
    let removed = match erased.table {
        _ if cut > 0 => 0,
        table if table == AUDIT.table => tenant_retention::remove_audit(&tx).await?,
        table => {
            let some = tx.dialect().some_rows(table, erased.rows, BATCH);
            tx.execute(&format!("DELETE FROM {table} WHERE {some}"), Vec::new()).await?
        }
    };
    if cut + removed > 0 {
        *receipt.entry(erased.table.to_owned()).or_default() += removed;
        count(core, &tx, &receipt, None).await?;
    }
    // In any case: a transaction that is dropped holds its locks a while longer, and the next batch would take
    // this one for another node.
    tx.commit(Recorded::bookkeeping()).await?;
    Ok(Some(cut + removed))
}

/// Cuts references within the table, one kind of them in a batch.
async fn cut(tx: &TenantTx, erased: &Erased) -> Result<u64> {
    for column in erased.cut {
        let rows = format!("{} AND {column} IS NOT NULL", erased.rows);
        let some = tx.dialect().some_rows(erased.table, &rows, BATCH);
        let sql = format!("UPDATE {} SET {column} = NULL WHERE {some}", erased.table);
        let cut = tx.execute(&sql, Vec::new()).await?;
        if cut > 0 {
            return Ok(cut);
        }
    }
    Ok(0)
}

/// Forgets the people who have nowhere else to go, then lets the tenant itself go.
async fn finish(core: &Core, tenant: Uuid, batches: usize) -> Result<()> {
    for _ in 0..batches {
        let tx = core.db.tenant(tenant).begin().await?;
        let Some(mut receipt) = receipt(&tx).await? else { return Ok(()) };
        let now = core.clock.now();
        let people = tx.query(&format!("{LONERS} {PEOPLE}"), Vec::new()).await?;
        for row in &people {
            let person = app_user::Model::from_query_result(row, "")?;
            privacy_requests::forget_account(&tx, person.id, &[&person.email], now).await?;
            execute(&tx, "UPDATE app_user SET tenant_id = NULL WHERE id = $1", vec![person.id.into()])
                .await?;
        }
        *receipt.entry("app_user".to_owned()).or_default() += people.len() as u64;
        let is_last = people.is_empty();
        if is_last {
            tx.execute(HOMELESS, Vec::new()).await?;
            tx.delete::<Entity>(Column::Status.eq(TenantStatus::Erasing)).await?;
            *receipt.entry("tenant".to_owned()).or_default() += 1;
        }
        count(core, &tx, &receipt, is_last.then_some(now)).await?;
        tx.commit(Recorded::bookkeeping()).await?;
        if is_last {
            core.principals.clear();
            core.engine.admission().forget(tenant);
            tracing::info!(%tenant, "a closed tenant is erased");
            return Ok(());
        }
    }
    Ok(())
}

/// What is counted so far, locked until the transaction ends.
async fn receipt(tx: &TenantTx) -> Result<Option<BTreeMap<String, u64>>> {
    let sql = format!("{LOCKED}{}", tx.dialect().skip_locked());
    let found = query(tx, &sql, vec![tx.tenant().into()]).await?;
    Ok(found.map(|row| row.try_get("", "removed")).transpose()?.map(document::read))
}

async fn count(
    core: &Core,
    tx: &TenantTx,
    removed: &BTreeMap<String, u64>,
    completed: Option<DateTime<Utc>>,
) -> Result<()> {
    let removed = document::stored(removed)?;
    let values = vec![tx.tenant().into(), removed.into(), completed.into(), core.clock.now().into()];
    Ok(execute(tx, COUNT, values).await?)
}

async fn query(tx: &TenantTx, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, DbErr> {
    let whole = tx.system(Reason::Engine);
    whole.query_one_raw(Statement::from_sql_and_values(whole.get_database_backend(), sql, values)).await
}

async fn execute(tx: &TenantTx, sql: &str, values: Vec<Value>) -> Result<(), DbErr> {
    let whole = tx.system(Reason::Engine);
    let statement = Statement::from_sql_and_values(whole.get_database_backend(), sql, values);
    whole.execute_raw(statement).await.map(|_| ())
}
