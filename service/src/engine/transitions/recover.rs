//! Transitions that time causes: lost leases, expired queues and waits.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::tasks::task_run;
use sea_orm::{DbErr, FromQueryResult as _, Value};
use serde_json::json;
use uuid::Uuid;

use super::wait::nothing_is_open;
use super::{Ended, MOST_LOST, event, is, shifted_deadline, tree, waited};
use crate::db::{Column, Kind, SystemTx};

/// How many rows one sweep changes in one transaction.
pub const BATCH: usize = 500;

/// RUNNING with an expired lease → PENDING(LEASE_LOST), or its end: CANCELLED when that was asked
/// for, FAILED(TIMED_OUT) when its time is over, FAILED(WORKER_LOST) when its policy says so or it
/// lost too many executors, which is its quarantine.
pub async fn expire_leases(tx: &SystemTx, now: DateTime<Utc>) -> Result<Vec<task_run::Model>, DbErr> {
    lose(tx, "status = 'RUNNING' AND lease_expires_at <= $1", vec![now.into()], now).await
}

/// The same, at once, for everything that a former self of this node held.
pub async fn release_node(
    tx: &SystemTx,
    owner: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<task_run::Model>, DbErr> {
    lose(tx, "status = 'RUNNING' AND lease_owner = $1", vec![owner.into()], now).await
}

/// A run and the executor that it lost.
type Lost = (Uuid, Uuid, Uuid);

async fn lose(
    tx: &SystemTx,
    condition: &str,
    values: Vec<Value>,
    now: DateTime<Utc>,
) -> Result<Vec<task_run::Model>, DbErr> {
    const COLUMNS: [Column<Lost>; 2] = [
        Column::new("tenant_id", Kind::Uuid, |lost| lost.0.into()),
        Column::new("id", Kind::Uuid, |lost| lost.1.into()),
    ];
    let dialect = tx.dialect();
    let sql = format!(
        "SELECT tenant_id, id, lease_owner FROM task_run WHERE {condition} LIMIT {BATCH}{}",
        dialect.skip_locked()
    );
    let rows = tx.query(&sql, values).await?;
    let lost = rows
        .iter()
        .map(|row| {
            Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?, row.try_get("", "lease_owner")?))
        })
        .collect::<Result<Vec<Lost>, DbErr>>()?;
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let too_many = format!("lost_count + 1 >= {MOST_LOST}");
    let fail = format!("({too_many} OR {} = 'FAIL')", dialect.json_text("policy", &["onWorkerLost"]));
    let outcome = |cancelled: &str, timed_out: &str, lost: &str, again: &str| {
        format!(
            "CASE WHEN cancel_requested_at IS NOT NULL THEN {cancelled} WHEN deadline_at <= $1 THEN {timed_out} \
             WHEN COALESCE({fail}, {no}) THEN {lost} ELSE {again} END",
            no = dialect.literal(false),
        )
    };
    let kept =
        format!("CASE WHEN {too_many} THEN {} ELSE {} END", dialect.json(QUARANTINED), dialect.json(LOST));
    let sql = format!(
        "UPDATE task_run SET status = {status}, reason = {reason}, completed_at = {completed}, error = {error}, \
         lease_owner = NULL, lease_expires_at = NULL, attempt_deadline_at = NULL, lost_count = lost_count + 1, \
         queued_at = $1, queue_expires_at = {next_start}, event_seq = event_seq + 1, updated_at = $1 \
         WHERE {found} AND (tenant_id, id) IN (SELECT tenant_id, id FROM {rows}) RETURNING *",
        found = is("RUNNING"),
        rows = dialect.rows(2, &COLUMNS),
        next_start = dialect.greatest("queue_expires_at", &dialect.after_seconds("$1", super::NEXT_START)),
        status = outcome("'CANCELLED'", "'FAILED'", "'FAILED'", "'PENDING'"),
        reason =
            outcome("COALESCE(cancel_reason, 'BY_USER')", "'TIMED_OUT'", "'WORKER_LOST'", "'LEASE_LOST'"),
        completed = outcome("$1", "$1", "$1", "NULL"),
        error = outcome("error", &dialect.json(TIMED_OUT), &kept, "error"),
    );
    let values = [vec![now.into()], dialect.bind(&COLUMNS, &lost)].concat();
    let runs = changed(tx, &sql, values, now, &lost).await?;
    let quarantined = runs.iter().filter(|run| is_quarantined(run)).count();
    if quarantined > 0 {
        metrics::counter!("engine_runs_quarantined_total").increment(u64::try_from(quarantined).unwrap_or(1));
    }
    Ok(runs)
}

/// Executors vanished under the run as often as they may: it is started again by a person only.
pub fn is_quarantined(run: &task_run::Model) -> bool {
    run.status == task_run::RunStatus::Failed
        && run.reason == task_run::RunReason::WorkerLost
        && run.lost_count >= MOST_LOST
}

const QUARANTINED: &str = r#"{"code":"quarantined","message":"Three executors vanished one after the other while they executed the run."}"#;
const TIMED_OUT: &str = r#"{"code":"timed_out","message":"The run's total time was over."}"#;
const LOST: &str = r#"{"code":"worker_lost","message":"The executor of the run vanished."}"#;
const EXPIRED: &str = r#"{"code":"expired","message":"The run was not started within its queue time."}"#;

/// RUNNING(CANCEL_REQUESTED) whose executor did not agree in time → CANCELLED; its lease is gone.
pub async fn force_cancels(
    tx: &SystemTx,
    asked_before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<task_run::Model>, DbErr> {
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run \
         WHERE status = 'RUNNING' AND reason = 'CANCEL_REQUESTED' AND cancel_requested_at <= $2 LIMIT {BATCH}{lock}) \
         UPDATE task_run SET status = 'CANCELLED', reason = COALESCE(cancel_reason, 'BY_USER'), completed_at = $1, lease_owner = NULL, \
         lease_expires_at = NULL, attempt_deadline_at = NULL, event_seq = event_seq + 1, updated_at = $1 \
         WHERE {found} AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        found = is("RUNNING"),
        lock = tx.dialect().skip_locked(),
    );
    changed(tx, &sql, vec![now.into(), asked_before.into()], now, &[]).await
}

/// PENDING past its queue time → FAILED(EXPIRED).
pub async fn expire_queue(tx: &SystemTx, now: DateTime<Utc>) -> Result<Vec<task_run::Model>, DbErr> {
    let dialect = tx.dialect();
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run \
         WHERE status = 'PENDING' AND queue_expires_at <= $1 LIMIT {BATCH}{lock}) \
         UPDATE task_run SET status = 'FAILED', reason = 'EXPIRED', completed_at = $1, held_at = NULL, error = {error}, \
         event_seq = event_seq + 1, updated_at = $1 \
         WHERE {found} AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        found = is("PENDING"),
        lock = dialect.skip_locked(),
        error = dialect.json(EXPIRED),
    );
    changed(tx, &sql, vec![now.into()], now, &[]).await
}

/// WAITING past its time for something that is gone → PENDING: the executor decides what that means. What is there
/// ends by its own expiry.
pub async fn expire_waits(tx: &SystemTx, now: DateTime<Utc>) -> Result<Vec<task_run::Model>, DbErr> {
    let dialect = tx.dialect();
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run \
         WHERE status = 'WAITING' AND wait_until <= $1 AND {nothing_open} LIMIT {BATCH}{lock}) \
         UPDATE task_run SET status = 'PENDING', reason = 'QUEUED', wait_until = NULL, \
         waiting_ms = waiting_ms + {waited}, deadline_at = {deadline}, waiting_since = NULL, available_at = $1, queued_at = $1, \
         queue_expires_at = {expiry}, event_seq = event_seq + 1, updated_at = $1 \
         WHERE {found} AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        nothing_open = nothing_is_open("task_run"),
        found = is("WAITING"),
        lock = dialect.skip_locked(),
        waited = waited(dialect, "$1"),
        deadline = shifted_deadline(dialect, "$1"),
        expiry = dialect.after_seconds("$1", super::NEXT_START),
    );
    changed(tx, &sql, vec![now.into()], now, &[]).await
}

/// Of the runs behind `last` a batch gets this fence, which no executor has, and loses its leases. Answers with
/// the last of them, until there is none.
pub async fn raise_fences(
    tx: &SystemTx,
    last: (Uuid, Uuid),
    fence: i64,
    now: DateTime<Utc>,
) -> Result<Option<(Uuid, Uuid)>, DbErr> {
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run WHERE (tenant_id, id) > ($1, $2) \
         ORDER BY tenant_id, id LIMIT {BATCH}) \
         UPDATE task_run SET fence = CASE WHEN fence < $3 THEN $3 ELSE fence END, \
         lease_expires_at = CASE WHEN lease_expires_at IS NULL THEN lease_expires_at ELSE $4 END \
         WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING tenant_id, id"
    );
    let rows = tx.query(&sql, vec![last.0.into(), last.1.into(), fence.into(), now.into()]).await?;
    let ids = rows.iter().map(|row| Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?)));
    Ok(ids.collect::<Result<Vec<_>, DbErr>>()?.into_iter().max())
}

/// The runs that the statement changed; what their end means for their trees is done.
async fn changed(
    tx: &SystemTx,
    sql: &str,
    values: Vec<Value>,
    now: DateTime<Utc>,
    lost: &[Lost],
) -> Result<Vec<task_run::Model>, DbErr> {
    let executors: HashMap<Uuid, Uuid> = lost.iter().map(|lost| (lost.1, lost.2)).collect();
    let rows = tx.query(sql, values).await?;
    let mut runs = Vec::with_capacity(rows.len());
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let run = task_run::Model::from_query_result(&row, "")?;
        let kind = match run.status {
            task_run::RunStatus::Failed => "run.failed",
            task_run::RunStatus::Cancelled => "run.cancelled",
            _ if run.reason == task_run::RunReason::LeaseLost => "run.lease_lost",
            _ => "run.resumed",
        };
        let data = match executors.get(&run.id) {
            None => json!({ "reason": run.reason }),
            Some(executor) => json!({ "reason": run.reason, "executor": executor, "attempt": run.attempt,
                "lostCount": run.lost_count, "quarantined": is_quarantined(&run) }),
        };
        events.push(event(run.tenant_id, run.id, run.event_seq, kind, data, now));
        runs.push(run);
    }
    super::append_events(tx, &events).await?;
    let ended: Vec<_> = runs.iter().filter_map(Ended::of).collect();
    if !ended.is_empty() {
        tree::ended(tx, &ended, now).await?;
    }
    Ok(runs)
}
