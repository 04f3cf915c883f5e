//! What runs wait for, and WAITING → PENDING once all of it is there.
//!
//! Invariants: a question or a wait ends once; whoever ends one holds its run's row first, so that two who end the
//! last two of a run at once do not each see the other's as open.

use chrono::{DateTime, Utc};
use entity::tasks::{approval, run_wait};
use sea_orm::{DbErr, FromQueryResult};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{BATCH, event, is, order_key, shifted_deadline, waited};
use crate::db::{Column, Kind, SystemTx};

/// Locks the run for what follows in the transaction; before its questions, always in this order.
pub async fn lock(tx: &SystemTx, tenant: Uuid, run: Uuid) -> Result<(), DbErr> {
    let sql =
        format!("SELECT id FROM task_run WHERE tenant_id = $1 AND id = $2{}", tx.dialect().for_update());
    tx.query(&sql, vec![tenant.into(), run.into()]).await?;
    Ok(())
}

/// A run to be resumed, and what its timeline says of why.
#[derive(Clone, Debug)]
pub struct Resumed {
    pub tenant: Uuid,
    pub run: Uuid,
    pub data: Json,
}

/// WAITING → PENDING(QUEUED), whatever else the run waits for. `false` when it does not wait.
pub async fn satisfy(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    data: Json,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let resumed = resume(tx, &[Resumed { tenant, run, data }], "1 = 1", now).await?;
    Ok(!resumed.is_empty())
}

/// [`satisfy`] for those of the runs, each named once, of which no question is open: several may be asked
/// together. Answers with those that go on. Their rows are locked already.
pub async fn satisfy_if_answered(
    tx: &SystemTx,
    runs: &[Resumed],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    resume(tx, runs, &nothing_is_open("task_run"), now).await
}

/// That nothing is open of what the run in this table waits for.
pub(super) fn nothing_is_open(run: &str) -> String {
    let none = |table: &str, open: &str| {
        format!(
            "NOT EXISTS (SELECT 1 FROM {table} w WHERE w.tenant_id = {run}.tenant_id AND w.run_id = {run}.id \
             AND w.status = '{open}')"
        )
    };
    format!("{} AND {}", none("approval", "PENDING"), none("run_wait", "OPEN"))
}

async fn resume(
    tx: &SystemTx,
    runs: &[Resumed],
    condition: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let columns: [Column<Resumed>; 2] = [
        Column::new("tenant_id", Kind::Uuid, |resumed| resumed.tenant.into()),
        Column::new("id", Kind::Uuid, |resumed| resumed.run.into()),
    ];
    let sql = format!(
        "UPDATE task_run SET status = 'PENDING', reason = 'QUEUED', wait_until = NULL, \
         waiting_ms = waiting_ms + {waited}, deadline_at = {deadline}, waiting_since = NULL, available_at = $1, queued_at = $1, \
         order_key = $2 - priority * {point}, queue_expires_at = {expiry}, event_seq = event_seq + 1, updated_at = $1 \
         WHERE {waiting} AND (tenant_id, id) IN (SELECT tenant_id, id FROM {rows}) AND {condition} \
         RETURNING id, event_seq",
        waited = waited(dialect, "$1"),
        deadline = shifted_deadline(dialect, "$1"),
        point = super::SECONDS_PER_PRIORITY * 1_000_000,
        expiry = dialect.after_seconds("$1", super::NEXT_START),
        waiting = is("WAITING"),
        rows = dialect.rows(3, &columns),
    );
    let mut values = vec![now.into(), order_key(now, 0).into()];
    values.extend(dialect.bind(&columns, runs));
    let mut events = Vec::new();
    for row in tx.query(&sql, values).await? {
        let (id, seq): (Uuid, i64) = (row.try_get("", "id")?, row.try_get("", "event_seq")?);
        let of = runs.iter().find(|resumed| resumed.run == id);
        events.extend(of.map(|of| event(of.tenant, id, seq, "run.resumed", of.data.clone(), now)));
    }
    super::append_events(tx, &events).await?;
    Ok(events.into_iter().map(|event| event.run_id).collect())
}

/// What came for a wait.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the call that waits gives.
    pub output: Json,
    pub by: String,
    /// The event that it is of.
    pub event: Option<Uuid>,
}

/// OPEN → SATISFIED, if nobody was first and it is not too late.
pub async fn answer(
    tx: &SystemTx,
    tenant: Uuid,
    wait: Uuid,
    answer: Answer,
    now: DateTime<Utc>,
) -> Result<Option<run_wait::Model>, DbErr> {
    let sql = "UPDATE run_wait SET status = 'SATISFIED', answer = $3, answered_by = $4, answered_at = $5, \
         event_id = $6, updated_at = $5 WHERE tenant_id = $1 AND id = $2 AND status = 'OPEN' AND expires_at > $5 RETURNING *";
    let Answer { output, by, event } = answer;
    let values = vec![tenant.into(), wait.into(), output.into(), by.into(), now.into(), event.into()];
    let row = tx.query(sql, values).await?.into_iter().next();
    row.map(|row| run_wait::Model::from_query_result(&row, "")).transpose()
}

/// The rows of `table` that are open past their time, at most so many, ended by `set`; their runs' rows are locked
/// first, and a run that somebody else holds is passed over.
async fn expire<M: FromQueryResult>(
    tx: &SystemTx,
    table: &str,
    open: &str,
    set: &str,
    now: DateTime<Utc>,
) -> Result<Vec<M>, DbErr> {
    let sql = format!(
        "WITH due AS MATERIALIZED (SELECT tenant_id, run_id FROM {table} \
         WHERE status = '{open}' AND expires_at <= $1 ORDER BY expires_at LIMIT {BATCH}), \
         held AS MATERIALIZED (SELECT tenant_id, id FROM task_run \
         WHERE (tenant_id, id) IN (SELECT tenant_id, run_id FROM due){lock}) \
         UPDATE {table} SET {set}, updated_at = $1 WHERE status = '{open}' AND expires_at <= $1 \
         AND (tenant_id, run_id) IN (SELECT tenant_id, id FROM held) RETURNING *",
        lock = tx.dialect().skip_locked(),
    );
    let rows = tx.query(&sql, vec![now.into()]).await?;
    rows.iter().map(|row| M::from_query_result(row, "")).collect()
}

/// PENDING approvals past their time → EXPIRED: what that means, their `on_expire` says.
pub async fn expire_questions(tx: &SystemTx, now: DateTime<Utc>) -> Result<Vec<approval::Model>, DbErr> {
    let set = "status = 'EXPIRED', decided_at = $1, decided_by = 'system'";
    expire(tx, "approval", "PENDING", set, now).await
}

/// Timers at their time → SATISFIED; other waits past theirs → EXPIRED.
pub async fn expire_timers(tx: &SystemTx, now: DateTime<Utc>) -> Result<Vec<run_wait::Model>, DbErr> {
    let set = "status = CASE WHEN kind = 'TIMER' THEN 'SATISFIED' ELSE 'EXPIRED' END, \
         answer = CASE WHEN kind = 'TIMER' THEN request END, answered_at = $1, answered_by = 'system'";
    expire(tx, "run_wait", "OPEN", set, now).await
}

/// The questions and waits whose expiry failed the run are registered again by its next attempt.
pub async fn reopen_questions(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    for table in ["approval", "run_wait"] {
        let sql = format!(
            "UPDATE {table} SET status = 'CANCELLED', updated_at = $3 \
             WHERE tenant_id = $1 AND run_id = $2 AND status = 'EXPIRED' AND on_expire = 'FAIL'"
        );
        tx.execute(&sql, vec![tenant.into(), run.into(), now.into()]).await?;
    }
    Ok(())
}

/// The open questions and waits of a cancelled run are nobody's any more.
pub async fn close_questions(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let approvals = "UPDATE approval SET status = 'CANCELLED', decided_at = $3, decided_by = 'system', updated_at = $3 \
         WHERE tenant_id = $1 AND run_id = $2 AND status = 'PENDING'";
    let waits = "UPDATE run_wait SET status = 'CANCELLED', answered_at = $3, answered_by = 'system', updated_at = $3 \
         WHERE tenant_id = $1 AND run_id = $2 AND status = 'OPEN'";
    for sql in [approvals, waits] {
        tx.execute(sql, vec![tenant.into(), run.into(), now.into()]).await?;
    }
    Ok(())
}
