//! Removing one batch of one class, in one transaction with its audit row.

use chrono::{DateTime, Utc};
use sea_orm::Value;
use serde_json::json;
use uuid::Uuid;

use super::RetentionClass;
use crate::core::Core;
use crate::db::{Column, Kind, Reason, TenantDb, TenantTx};
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, append};

/// Rows of one batch.
const BATCH: usize = 500;
const COUNT_CAP: i64 = 10_000;

/// Runs that ended before `$2`. A run whose children are still there waits for them to go first, and a child for
/// its parent to end. The ids
/// are in the order of creation, and nothing ends before it is created: `$3` keeps the look to old runs.
const ENDED_RUNS: &str = "SELECT r.id FROM task_run r WHERE tenant_id = $1 AND id < $3 \
     AND status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND completed_at < $2 \
     AND NOT EXISTS (SELECT 1 FROM task_run c WHERE c.tenant_id = r.tenant_id AND c.parent_run_id = r.id) \
     AND NOT EXISTS (SELECT 1 FROM task_run p WHERE p.tenant_id = r.tenant_id AND p.id = r.parent_run_id \
     AND p.completed_at IS NULL)";
const ENDED_SESSIONS: &str = "SELECT id FROM session WHERE tenant_id = $1 AND id < $3 \
     AND (revoked_at < $2 OR expires_at < $2)";
/// Times of schedules that started no run, as old as ended runs may be.
const OLD_UNFIRED: &str = "DELETE FROM schedule_fire WHERE tenant_id = $1 AND id IN \
     (SELECT f.id FROM schedule_fire f WHERE f.tenant_id = $1 AND f.id < $3 AND f.run_id IS NULL \
     AND f.settled_at < $2 LIMIT 500)";
const OLD_EVENTS: &str = "SELECT id FROM event WHERE tenant_id = $1 AND id < $3 AND created_at < $2";
const OLD_DELIVERIES: &str =
    "SELECT id FROM hook_delivery WHERE tenant_id = $1 AND id < $3 AND created_at < $2";
/// The audit log goes from its beginning, without gaps.
const OLD_AUDIT: &str = "SELECT number FROM audit_log WHERE tenant_id = $1 AND id < $3 AND created_at < $2";

fn candidates(class: RetentionClass) -> &'static str {
    match class {
        RetentionClass::Runs => ENDED_RUNS,
        RetentionClass::Audit => OLD_AUDIT,
        RetentionClass::Sessions => ENDED_SESSIONS,
        RetentionClass::Events => OLD_EVENTS,
        RetentionClass::HookDeliveries => OLD_DELIVERIES,
    }
}

fn bounds(before: DateTime<Utc>) -> Vec<Value> {
    vec![before.into(), first_id_at(before).into()]
}

/// The least UUIDv7 of that moment.
fn first_id_at(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// How many rows are due, counted up to [`COUNT_CAP`].
pub async fn due(db: &TenantDb, class: RetentionClass, before: DateTime<Utc>) -> Result<i64> {
    let sql = format!("SELECT COUNT(*) AS due FROM ({} LIMIT {COUNT_CAP}) d", candidates(class));
    let counted = db.query(&sql, bounds(before)).await?;
    Ok(counted.first().map(|row| row.try_get("", "due")).transpose()?.unwrap_or(0))
}

/// Removes the next batch; whether more may be due.
pub async fn remove(
    core: &Core,
    db: &TenantDb,
    class: RetentionClass,
    before: DateTime<Utc>,
) -> Result<bool> {
    let tx = db.begin().await?;
    let removed = match class {
        RetentionClass::Runs => runs(&tx, before).await?,
        RetentionClass::Sessions => sessions(&tx, before).await?,
        RetentionClass::Audit => audit(&tx, before).await?,
        RetentionClass::Events => events(&tx, before).await?,
        RetentionClass::HookDeliveries => deliveries(&tx, before).await?,
    };
    if removed == 0 {
        return Ok(false);
    }
    let change =
        Change::to("tenant", db.tenant()).with(json!({ "removed": removed, "of": class, "before": before }));
    let entry = Entry::of_platform("system", "apply_retention", db.tenant(), change);
    let recorded = append(core, tx.system(Reason::Audit), entry).await?;
    tx.commit(recorded).await?;
    Ok(removed == BATCH)
}

async fn ids(tx: &TenantTx, class: RetentionClass, before: DateTime<Utc>, lock: &str) -> Result<Vec<Uuid>> {
    let sql = format!("{} ORDER BY id LIMIT {BATCH}{lock}", candidates(class));
    let rows = tx.query(&sql, bounds(before)).await?;
    Ok(rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?)
}

async fn runs(tx: &TenantTx, before: DateTime<Utc>) -> Result<usize> {
    // One who retries a run meanwhile holds its row: it is passed over.
    let ids = ids(tx, RetentionClass::Runs, before, tx.dialect().skip_locked()).await?;
    for sql in [
        "UPDATE task_run SET replay_of = NULL WHERE tenant_id = $1 AND replay_of IN",
        "DELETE FROM approval WHERE tenant_id = $1 AND run_id IN",
        "DELETE FROM run_wait WHERE tenant_id = $1 AND run_id IN",
        "DELETE FROM event_run WHERE tenant_id = $1 AND run_id IN",
        "UPDATE hook_delivery SET run_id = NULL WHERE tenant_id = $1 AND run_id IN",
        "DELETE FROM run_event WHERE tenant_id = $1 AND run_id IN",
        "DELETE FROM run_step WHERE tenant_id = $1 AND run_id IN",
        "DELETE FROM schedule_fire WHERE tenant_id = $1 AND settled_at IS NOT NULL AND run_id IN",
        "DELETE FROM task_run WHERE tenant_id = $1 AND id IN",
    ] {
        of(tx, sql, &ids).await?;
    }
    let unfired = tx.execute(OLD_UNFIRED, bounds(before)).await?;
    Ok(ids.len().max(usize::try_from(unfired).unwrap_or(BATCH)))
}

async fn sessions(tx: &TenantTx, before: DateTime<Utc>) -> Result<usize> {
    let ids = ids(tx, RetentionClass::Sessions, before, "").await?;
    for sql in [
        "DELETE FROM refresh_token WHERE session_id IN (SELECT id FROM session WHERE tenant_id = $1) AND session_id IN",
        "DELETE FROM session WHERE tenant_id = $1 AND id IN",
    ] {
        of(tx, sql, &ids).await?;
    }
    Ok(ids.len())
}

async fn events(tx: &TenantTx, before: DateTime<Utc>) -> Result<usize> {
    let ids = ids(tx, RetentionClass::Events, before, "").await?;
    for sql in [
        "DELETE FROM event_run WHERE tenant_id = $1 AND event_id IN",
        "DELETE FROM event WHERE tenant_id = $1 AND id IN",
    ] {
        of(tx, sql, &ids).await?;
    }
    Ok(ids.len())
}

async fn deliveries(tx: &TenantTx, before: DateTime<Utc>) -> Result<usize> {
    let ids = ids(tx, RetentionClass::HookDeliveries, before, "").await?;
    for sql in [
        "DELETE FROM hook_body WHERE tenant_id = $1 AND delivery_id IN",
        "DELETE FROM hook_delivery WHERE tenant_id = $1 AND id IN",
    ] {
        of(tx, sql, &ids).await?;
    }
    Ok(ids.len())
}

/// Runs a statement over those ids.
async fn of(tx: &TenantTx, sql: &str, ids: &[Uuid]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let columns: [Column<Uuid>; 1] = [Column::new("picked", Kind::Uuid, |id| (*id).into())];
    let picked = tx.dialect().rows(2, &columns);
    let sql = format!("{sql} (SELECT picked FROM {picked})");
    Ok(tx.execute(&sql, tx.dialect().bind(&columns, ids)).await?)
}

/// Removes the next rows of the audit log of a tenant that is erased, whatever their age.
pub async fn remove_audit(tx: &TenantTx) -> Result<u64> {
    Ok(audit(tx, DateTime::<Utc>::MAX_UTC).await? as u64)
}

/// Moves the chain's anchor over the rows that are old enough, and removes what is behind it.
async fn audit(tx: &TenantTx, before: DateTime<Utc>) -> Result<usize> {
    let chain = lock_chain(tx).await?;
    let Some(anchor) = chain else { return Ok(0) };
    let sql = "SELECT number, hash, created_at FROM audit_log WHERE tenant_id = $1 AND number > $2 AND number <= $3 \
         ORDER BY number";
    let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let mut last = None;
    for row in tx.query(sql, vec![anchor.into(), (anchor + most).into()]).await? {
        let written: DateTime<Utc> = row.try_get("", "created_at")?;
        if written >= before {
            break;
        }
        last = Some((row.try_get::<i64>("", "number")?, row.try_get::<Vec<u8>>("", "hash")?));
    }
    let Some((number, hash)) = last else { return Ok(0) };
    let moved = "UPDATE audit_chain SET anchor_number = $2, anchor_hash = $3 WHERE tenant_id = $1";
    tx.execute(moved, vec![number.into(), hash.into()]).await?;
    let removed = tx
        .execute("DELETE FROM audit_log WHERE tenant_id = $1 AND number <= $2", vec![number.into()])
        .await?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// The anchor's number; nobody appends until the transaction ends.
async fn lock_chain(tx: &TenantTx) -> Result<Option<i64>> {
    let sql =
        format!("SELECT anchor_number FROM audit_chain WHERE tenant_id = $1{}", tx.dialect().for_update());
    let rows = tx.query(&sql, Vec::new()).await?;
    Ok(rows.first().map(|row| row.try_get("", "anchor_number")).transpose()?)
}
