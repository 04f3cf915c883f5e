//! Transitions that people ask for: cancel, retry, and the answer to what a run waits for.

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{self, RunReason, RunStatus};
use sea_orm::{ActiveEnum as _, DbErr, FromQueryResult as _};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{MOST_LOST, SUSPECT, event, order_key, shifted_deadline, waited};
use crate::db::{Dialect, SystemTx};

/// What a cancel did.
#[derive(Clone, Debug, PartialEq)]
pub enum CancelOutcome {
    /// The run was not executing and is CANCELLED.
    Cancelled(Box<task_run::Model>),
    /// Its executor is told, and ends it.
    Requested(Box<task_run::Model>),
    /// No live run.
    NotLive,
}

/// PENDING or WAITING → CANCELLED; RUNNING → RUNNING(CANCEL_REQUESTED).
pub async fn cancel(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    reason: RunReason,
    by: &str,
    now: DateTime<Utc>,
) -> Result<CancelOutcome, DbErr> {
    let sql = "UPDATE task_run SET \
         status = CASE WHEN status = 'RUNNING' THEN 'RUNNING' ELSE 'CANCELLED' END, \
         reason = CASE WHEN status = 'RUNNING' THEN 'CANCEL_REQUESTED' ELSE $3 END, \
         completed_at = CASE WHEN status = 'RUNNING' THEN NULL ELSE $4 END, \
         cancel_requested_at = COALESCE(cancel_requested_at, $4), \
         wait_until = NULL, waiting_since = NULL, event_seq = event_seq + 1, updated_at = $4 \
         WHERE tenant_id = $1 AND id = $2 AND status IN ('PENDING', 'WAITING', 'RUNNING') \
         AND reason <> 'CANCEL_REQUESTED' RETURNING *";
    let values = vec![tenant.into(), run.into(), reason.to_value().into(), now.into()];
    let Some(row) = tx.query(sql, values).await?.into_iter().next() else {
        return Ok(CancelOutcome::NotLive);
    };
    let run = Box::new(task_run::Model::from_query_result(&row, "")?);
    let running = run.status == task_run::RunStatus::Running;
    let kind = if running { "run.cancel_requested" } else { "run.cancelled" };
    let entry = event(tenant, run.id, run.event_seq, kind, json!({ "reason": run.reason, "by": by }), now);
    super::append_events(tx, &[entry]).await?;
    Ok(if running { CancelOutcome::Requested(run) } else { CancelOutcome::Cancelled(run) })
}

/// Whether what is journaled alone decided the run's failure: another attempt would read it and fail the
/// same way, or make a ONCE call again of which a person said that it is not repeated.
pub fn is_decided(run: &task_run::Model) -> bool {
    let code = run.error.as_ref().and_then(|error| error.get("code")).and_then(Json::as_str);
    let reason = matches!(run.reason, RunReason::NoProgress | RunReason::InvalidOutput);
    let decided = matches!(code, Some("content_filtered" | "outcome_unknown"));
    run.status == RunStatus::Failed && (reason || decided)
}

/// The opposite of [`is_decided`] as a condition.
fn undecided(dialect: Dialect) -> String {
    let code = dialect.json_text("error", &["code"]);
    format!(
        "reason NOT IN ('NO_PROGRESS', 'INVALID_OUTPUT') \
         AND COALESCE({code}, '') NOT IN ('content_filtered', 'outcome_unknown')"
    )
}

/// FAILED or CANCELLED → PENDING, the same run with its history; one that was quarantined is on probation, and
/// one more loss quarantines it again. `None` when it is in another state, its
/// failure [`is_decided`], or its tenant is not active.
pub async fn retry(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<task_run::Model>, DbErr> {
    let sql = format!(
        "UPDATE task_run SET status = 'PENDING', reason = 'QUEUED', completed_at = NULL, error = NULL, \
         cancel_requested_at = NULL, failures = 0, \
         lost_count = CASE WHEN lost_count >= {MOST_LOST} THEN {SUSPECT} ELSE 0 END, deadline_at = NULL, available_at = $3, queued_at = $3, \
         order_key = $4 - priority * {}, queue_expires_at = {}, event_seq = event_seq + 1, updated_at = $3 \
         WHERE tenant_id = $1 AND id = $2 AND status IN ('FAILED', 'CANCELLED') AND {} \
         AND EXISTS (SELECT 1 FROM tenant t WHERE t.id = $1 AND t.status = 'ACTIVE') RETURNING *",
        super::SECONDS_PER_PRIORITY * 1_000_000,
        tx.dialect().after_seconds("$3", super::NEXT_START),
        undecided(tx.dialect()),
    );
    let values = vec![tenant.into(), run.into(), now.into(), order_key(now, 0).into()];
    let Some(row) = tx.query(&sql, values).await?.into_iter().next() else { return Ok(None) };
    let run = task_run::Model::from_query_result(&row, "")?;
    super::append_events(
        tx,
        &[event(tenant, run.id, run.event_seq, "run.retried", json!({ "by": by }), now)],
    )
    .await?;
    Ok(Some(run))
}

/// WAITING → PENDING(QUEUED): what the run waited for is there. `false` when it does not wait.
pub async fn satisfy(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    data: Json,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let sql = format!(
        "UPDATE task_run SET status = 'PENDING', reason = 'QUEUED', wait_until = NULL, \
         waiting_ms = waiting_ms + {waited}, deadline_at = {deadline}, waiting_since = NULL, available_at = $3, queued_at = $3, \
         order_key = $4 - priority * {point}, queue_expires_at = {expiry}, event_seq = event_seq + 1, updated_at = $3 \
         WHERE tenant_id = $1 AND id = $2 AND status = 'WAITING' RETURNING id, event_seq",
        waited = waited(tx.dialect(), "$3"),
        deadline = shifted_deadline(tx.dialect(), "$3"),
        point = super::SECONDS_PER_PRIORITY * 1_000_000,
        expiry = tx.dialect().after_seconds("$3", super::NEXT_START),
    );
    let values = vec![tenant.into(), run.into(), now.into(), order_key(now, 0).into()];
    let Some(row) = tx.query(&sql, values).await?.into_iter().next() else { return Ok(false) };
    let entry = event(tenant, run, row.try_get("", "event_seq")?, "run.resumed", data, now);
    super::append_events(tx, &[entry]).await?;
    Ok(true)
}

/// Locks the run for what follows in the transaction; before its approvals, always in this order.
pub async fn lock(tx: &SystemTx, tenant: Uuid, run: Uuid) -> Result<(), DbErr> {
    let sql =
        format!("SELECT id FROM task_run WHERE tenant_id = $1 AND id = $2{}", tx.dialect().for_update());
    tx.query(&sql, vec![tenant.into(), run.into()]).await?;
    Ok(())
}

/// [`satisfy`] once no question of the run is open: several may be asked together.
pub async fn satisfy_if_answered(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    data: Json,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    // Two people who answer two questions at once must not each see the other's as open.
    let lock =
        format!("SELECT id FROM task_run WHERE tenant_id = $1 AND id = $2{}", tx.dialect().for_update());
    tx.query(&lock, vec![tenant.into(), run.into()]).await?;
    let sql = "SELECT id FROM approval WHERE tenant_id = $1 AND run_id = $2 AND status = 'PENDING' LIMIT 1";
    if !tx.query(sql, vec![tenant.into(), run.into()]).await?.is_empty() {
        return Ok(false);
    }
    satisfy(tx, tenant, run, data, now).await
}

/// The questions whose expiry failed the run are asked again by its next attempt.
pub async fn reopen_questions(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let sql = "UPDATE approval SET status = 'CANCELLED', updated_at = $3 \
         WHERE tenant_id = $1 AND run_id = $2 AND status = 'EXPIRED' AND on_expire = 'FAIL'";
    tx.execute(sql, vec![tenant.into(), run.into(), now.into()]).await?;
    Ok(())
}

/// The open questions of a cancelled run are nobody's any more.
pub async fn close_questions(
    tx: &SystemTx,
    tenant: Uuid,
    run: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let sql = "UPDATE approval SET status = 'CANCELLED', decided_at = $3, decided_by = 'system', updated_at = $3 \
         WHERE tenant_id = $1 AND run_id = $2 AND status = 'PENDING'";
    tx.execute(sql, vec![tenant.into(), run.into(), now.into()]).await?;
    Ok(())
}
