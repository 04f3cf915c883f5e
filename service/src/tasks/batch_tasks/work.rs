//! The rounds of every node: what each batch that is due needs next, a page of one batch at a time, so that
//! batches take turns.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::batch_task::{BatchReason, BatchStatus, Entity, Model};
use entity::tasks::task_run::{RunReason, RunStatus};
use entity::tasks::task_target::TargetStatus;
use sea_orm::{ActiveEnum as _, FromQueryResult as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rows::{self, key};
use super::{admit, send, settle};
use crate::core::Core;
use crate::ctx::{Actor, Automation, Ctx};
use crate::db::{Reason, SystemTx};
use crate::engine::transitions::{self, CancelOutcome};
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};
use crate::tasks::alarm;
use crate::tasks::targets::{self, Wanted};
use crate::tasks::task_runs::check_input;

/// Batches that are looked at in one turn.
const TURN: i64 = 32;
/// Of one round: a node that is to stop ends with it.
const MOST_TURNS: usize = 8;
const PAGE: usize = 500;
/// Runs end without telling.
const LOOK: TimeDelta = TimeDelta::seconds(1);
const LATER: TimeDelta = TimeDelta::seconds(5);

const DUE: &str =
    "SELECT * FROM batch_task WHERE next_at IS NOT NULL AND next_at <= $1 ORDER BY next_at LIMIT $2";

pub async fn run(core: Core, stop: CancellationToken) {
    let alarm = core.batches.clone();
    alarm::watch(core, alarm, |core| Box::pin(round(core)), stop).await;
}

/// Does all that is due now; when there is something to do again.
pub async fn round(core: &Core) -> Result<Option<DateTime<Utc>>> {
    let system = core.db.system(Reason::Engine);
    for _ in 0..MOST_TURNS {
        let now = core.clock.now();
        let found = system.query(DUE, vec![now.into(), TURN.into()]).await?;
        if found.is_empty() {
            break;
        }
        for row in &found {
            let row = Model::from_query_result(row, "")?;
            // One that cannot be worked on keeps no other waiting.
            if let Err(error) = step(core, &row, now).await {
                tracing::warn!(%error, batch.id = %row.id, "a batch could not go on");
                put_off(core, &row, now + LATER).await?;
            }
        }
    }
    let sql = "SELECT next_at FROM batch_task WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1";
    let rows = system.query(sql, Vec::new()).await?;
    Ok(rows.first().map(|row| row.try_get("", "next_at")).transpose()?)
}

async fn step(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    if row.deleted_at.is_some() {
        return remove(core, row, now).await;
    }
    if let Some(after) = row.retried_number.filter(|_| row.status != BatchStatus::Cancelled) {
        return queue_again(core, row, after, now).await;
    }
    if settle::page(core, row, now).await? == settle::PAGE {
        return Ok(());
    }
    match row.status {
        BatchStatus::Validating => validate(core, row, now).await,
        BatchStatus::Running => send::page(core, row, now).await,
        BatchStatus::Cancelled => cancel(core, row, now).await,
        BatchStatus::Draft
        | BatchStatus::Paused
        | BatchStatus::Completed
        | BatchStatus::CompletedWithErrors => wait_for_end(core, row, now).await,
    }
}

/// Looks again at `next`.
pub(super) async fn put_off(core: &Core, row: &Model, next: DateTime<Utc>) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let sql = "UPDATE batch_task SET next_at = $3 WHERE tenant_id = $1 AND id = $2 AND next_at = $4";
    let values = vec![row.tenant_id.into(), row.id.into(), next.into(), row.next_at.into()];
    tx.execute(sql, values).await?;
    tx.commit().await
}

/// Nothing is to be done until somebody changes the batch, once nothing of it runs.
async fn wait_for_end(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    if locked.status != row.status {
        return Ok(());
    }
    let runs = rows::count(&tx, key(row), TargetStatus::Running, 1).await? > 0;
    let next = runs.then(|| now + LOOK);
    let sql = "UPDATE batch_task SET next_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), next.into()]).await?;
    tx.commit().await
}

/// Checks the inputs of a page of targets; those that do not fit have failed.
async fn validate(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    let system = core.db.system(Reason::Engine);
    let mut targets =
        rows::targets(&system, key(row), TargetStatus::Pending, row.checked_number, PAGE).await?;
    let last = targets.last().map(|target| target.number);
    let ctx = Ctx::automation(core, row.tenant_id, Automation::Batch, row.id, "validate_batch_targets");
    let definition = targets::resolve(&ctx, Wanted::Definition(row.definition_id)).await;
    let obstacle = match &definition {
        Ok(_) => None,
        Err(Error::Conflict { code: "workspace_archived", .. }) => Some(BatchReason::WorkspaceArchived),
        Err(Error::Invalid { .. } | Error::Conflict { .. }) => Some(BatchReason::DefinitionUnavailable),
        Err(_) => None,
    };
    let tx = system.begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    if (locked.status, locked.checked_number) != (BatchStatus::Validating, row.checked_number) {
        return Ok(());
    }
    if let Some(reason) = obstacle {
        pause(core, &tx, &locked, reason, now).await?;
        return tx.commit().await;
    }
    let definition = definition?;
    targets.retain_mut(|target| match check_input(&definition, &target.input) {
        Err(Error::Invalid { errors }) => {
            let message = admit::described(&errors);
            target.error = Some(json!({ "code": "input_invalid", "message": message }));
            (target.status, target.failed_at) = (TargetStatus::Failed, Some(now));
            true
        }
        _ => false,
    });
    rows::write(&tx, &targets, TargetStatus::Pending, now).await?;
    match last {
        Some(last) => {
            let sql = "UPDATE batch_task SET checked_number = $3 WHERE tenant_id = $1 AND id = $2";
            tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), last.into()]).await?;
        }
        None => become_status(core, &tx, &locked, BatchStatus::Running, now).await?,
    }
    if let Some(reason) = settle::over(&tx, &locked, locked.spent_nanos).await? {
        pause(core, &tx, &locked, reason, now).await?;
    }
    tx.commit().await
}

/// Queues a page of failed targets again; nothing else is done until all are, because each counts as failed so
/// far.
async fn queue_again(core: &Core, row: &Model, after: i32, now: DateTime<Utc>) -> Result<()> {
    let system = core.db.system(Reason::Engine);
    let mut targets = rows::targets(&system, key(row), TargetStatus::Failed, after, PAGE).await?;
    let last = targets.last().map(|target| target.number);
    for target in &mut targets {
        (target.status, target.error, target.failed_at) = (TargetStatus::Pending, None, None);
    }
    let tx = system.begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    if (locked.retried_number, locked.revision) != (row.retried_number, row.revision) {
        return Ok(());
    }
    rows::write(&tx, &targets, TargetStatus::Failed, now).await?;
    let sql = "UPDATE batch_task SET retried_number = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), last.into()]).await?;
    tx.commit().await
}

/// Cancels what waits, a page at once, and the runs that have not ended.
async fn cancel(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    let system = core.db.system(Reason::Engine);
    let mut targets = rows::targets(&system, key(row), TargetStatus::Pending, 0, PAGE).await?;
    if targets.is_empty() {
        cancel_runs(core, row, now).await?;
        settle::page(core, row, now).await?;
        return wait_for_end(core, row, now).await;
    }
    for target in &mut targets {
        (target.status, target.failed_at) = (TargetStatus::Cancelled, Some(now));
        target.error = Some(json!({ "code": "cancelled", "message": "The batch was cancelled." }));
    }
    let tx = system.begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    if locked.status == BatchStatus::Cancelled {
        rows::write(&tx, &targets, TargetStatus::Pending, now).await?;
    }
    tx.commit().await
}

/// Ends a page of the runs that have not ended, because somebody cancelled or deleted their batch: it cancels
/// nothing by itself. Answers with how many were told.
async fn cancel_runs(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<usize> {
    let sql = "SELECT r.id FROM task_target t JOIN task_run r ON r.tenant_id = t.tenant_id AND r.id = t.run_id \
         WHERE t.tenant_id = $1 AND t.batch_id = $2 AND t.status = 'RUNNING' \
         AND r.status IN ('PENDING', 'RUNNING', 'WAITING') AND r.reason <> 'CANCEL_REQUESTED' LIMIT $3";
    let most = i64::try_from(PAGE).unwrap_or(0);
    let system = core.db.system(Reason::Engine);
    let by = Actor::Automation { kind: Automation::Batch, id: row.id }.to_string();
    let live = system.query(sql, vec![row.tenant_id.into(), row.id.into(), most.into()]).await?;
    for found in &live {
        let run: Uuid = found.try_get("", "id")?;
        let tx = system.begin().await?;
        let outcome = transitions::cancel(&tx, row.tenant_id, run, RunReason::ByUser, &by, now).await?;
        transitions::close_questions(&tx, row.tenant_id, run, now).await?;
        tx.commit().await?;
        if let CancelOutcome::Cancelled(told) | CancelOutcome::Requested(told) = outcome {
            if told.status == RunStatus::Running {
                core.engine.cancel_here(run);
            }
            core.engine.announce(run, told.status);
            if told.children > 0 {
                core.engine.announce_tree();
            }
        }
    }
    Ok(live.len())
}

/// Removes a page of the targets of a deleted batch, once all runs that were to be cancelled are told.
async fn remove(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    if row.status == BatchStatus::Cancelled && cancel_runs(core, row, now).await? > 0 {
        return Ok(());
    }
    let tx = core.db.system(Reason::Engine).begin().await?;
    let sql = "DELETE FROM task_target WHERE tenant_id = $1 AND id IN \
         (SELECT id FROM task_target t WHERE t.tenant_id = $1 AND t.batch_id = $2 LIMIT 1000)";
    let removed = tx.execute(sql, vec![row.tenant_id.into(), row.id.into()]).await?.rows_affected();
    if removed == 0 {
        let sql = "UPDATE batch_task SET next_at = NULL WHERE tenant_id = $1 AND id = $2";
        tx.execute(sql, vec![row.tenant_id.into(), row.id.into()]).await?;
    }
    tx.commit().await
}

/// The batch pauses itself.
pub(super) async fn pause(
    core: &Core,
    tx: &SystemTx,
    row: &Model,
    reason: BatchReason,
    now: DateTime<Utc>,
) -> Result<()> {
    if !matches!(row.status, BatchStatus::Running | BatchStatus::Validating) {
        return Ok(());
    }
    let sql = "UPDATE batch_task SET status = 'PAUSED', status_reason = $3, status_note = NULL, next_at = $4, \
         revision = revision + 1, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    let values = vec![row.tenant_id.into(), row.id.into(), reason.to_value().into(), now.into()];
    tx.execute(sql, values).await?;
    let told = json!({ "name": row.name, "status": "PAUSED", "statusReason": reason });
    record(core, tx, row, "pause_batch_task", told).await
}

pub(super) async fn become_status(
    core: &Core,
    tx: &SystemTx,
    row: &Model,
    status: BatchStatus,
    now: DateTime<Utc>,
) -> Result<()> {
    let is_over = !matches!(status, BatchStatus::Running);
    let sql = "UPDATE batch_task SET status = $3, status_reason = NULL, next_at = $4, completed_at = $5, \
         revision = revision + 1, updated_at = $6 WHERE tenant_id = $1 AND id = $2";
    let values = vec![
        row.tenant_id.into(),
        row.id.into(),
        status.to_value().into(),
        (!is_over).then_some(now).into(),
        is_over.then_some(now).into(),
        now.into(),
    ];
    tx.execute(sql, values).await?;
    if is_over {
        let told = json!({ "name": row.name, "status": status });
        record(core, tx, row, "complete_batch_task", told).await?;
    }
    Ok(())
}

async fn record(
    core: &Core,
    tx: &SystemTx,
    row: &Model,
    action: &'static str,
    told: serde_json::Value,
) -> Result<()> {
    let change = Change::of::<Entity>(row.id).with(told);
    let entry = Entry::of_platform("system", action, row.tenant_id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    Ok(())
}
