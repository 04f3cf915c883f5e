//! What people do to a batch: start, pause, resume, cancel it, retry what failed.

use chrono::{DateTime, Utc};
use entity::tasks::batch_task::{ActiveModel, BatchReason, BatchStatus, Column, Entity, Model};
use entity::tasks::task_target::TargetStatus;
use sea_orm::{ColumnTrait as _, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{BatchTaskView, BatchTasks, counters, rows};
use crate::crud::{self, Once};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::workspaces::require_open;

const TRIES: usize = 5;

/// Why a batch is paused.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "reason": "Wait for the new prompt." }))]
pub struct PauseBatchTask {
    #[validate(length(max = 500))]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Checks the inputs and begins.
///
/// # Errors
/// 409 `invalid_transition` for one that is no draft, `batch_empty`, `workspace_archived`.
pub async fn start(ctx: &Ctx, id: Uuid) -> Result<BatchTaskView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    require_open(ctx, row.workspace_id).await?;
    change(ctx, id, &[BatchStatus::Draft], "Only a draft can be started.", |row, now| {
        if row.last_number == 0 {
            return Err(Error::conflict("batch_empty", "The batch has no targets."));
        }
        Ok(ActiveModel {
            status: Set(BatchStatus::Validating),
            started_at: Set(Some(now)),
            next_at: Set(Some(now)),
            ..ActiveModel::default()
        })
    })
    .await
}

/// No run is created until it is resumed; those that exist go on.
///
/// # Errors
/// 409 `invalid_transition` for one that does not run.
pub async fn pause(ctx: &Ctx, id: Uuid, body: PauseBatchTask) -> Result<BatchTaskView> {
    let from = [BatchStatus::Validating, BatchStatus::Running];
    change(ctx, id, &from, "Only a batch that runs can be paused.", |_, now| {
        Ok(ActiveModel {
            status: Set(BatchStatus::Paused),
            status_reason: Set(Some(BatchReason::ByUser)),
            status_note: Set(body.reason.clone()),
            next_at: Set(Some(now)),
            ..ActiveModel::default()
        })
    })
    .await
}

/// Goes on where it was paused. Inputs that were not checked are checked first.
///
/// # Errors
/// 409 `invalid_transition` for one that is not paused, `workspace_archived`.
pub async fn resume(ctx: &Ctx, id: Uuid) -> Result<BatchTaskView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    require_open(ctx, row.workspace_id).await?;
    change(ctx, id, &[BatchStatus::Paused], "Only a paused batch can be resumed.", |row, now| {
        let is_checked = row.checked_number >= row.last_number;
        Ok(ActiveModel {
            status: Set(if is_checked { BatchStatus::Running } else { BatchStatus::Validating }),
            status_reason: Set(None),
            status_note: Set(None),
            next_at: Set(Some(now)),
            ..ActiveModel::default()
        })
    })
    .await
}

/// Targets that wait get no run, and runs that have not ended are cancelled: at once where nothing executes
/// them.
///
/// # Errors
/// 409 `invalid_transition` for one that has ended.
pub async fn cancel(ctx: &Ctx, id: Uuid) -> Result<BatchTaskView> {
    let from = [BatchStatus::Draft, BatchStatus::Validating, BatchStatus::Running, BatchStatus::Paused];
    change(ctx, id, &from, "The batch has ended.", |_, now| {
        Ok(ActiveModel {
            status: Set(BatchStatus::Cancelled),
            status_reason: Set(None),
            next_at: Set(Some(now)),
            completed_at: Set(Some(now)),
            ..ActiveModel::default()
        })
    })
    .await
}

async fn change(
    ctx: &Ctx,
    id: Uuid,
    from: &[BatchStatus],
    otherwise: &'static str,
    change: impl Fn(&Model, DateTime<Utc>) -> Result<ActiveModel> + Send,
) -> Result<BatchTaskView> {
    // Before the change: the rounds act on the targets behind it.
    let counters = counters(ctx, id).await?;
    for _ in 0..TRIES {
        let tx = match ctx.begin_once().await? {
            Once::Replay(view) => return Ok(view),
            Once::First(tx) => tx,
        };
        let found = tx.get::<Entity>(id).await?.filter(|row| row.deleted_at.is_none());
        let row = found.ok_or(Error::not_found("batch task"))?;
        if !from.contains(&row.status) {
            return Err(Error::conflict("invalid_transition", otherwise));
        }
        let now = ctx.core.clock.now();
        let mut changes = change(&row, now)?;
        changes.revision = Set(row.revision + 1);
        changes.updated_at = Set(now);
        if let Some(written) = tx.update::<Entity>(id, Column::Revision.eq(row.revision), changes).await? {
            let (old, view) = (BatchTaskView::from(row), BatchTaskView::from(written));
            let change = Change::updated::<Entity>(id, &old, &view);
            let view = view.with(counters);
            tx.finish(change, &view).await?;
            ctx.core.batches.ring();
            return Ok(view);
        }
    }
    Err(Error::conflict("concurrent_update", "The batch is being changed by others: try again."))
}

/// Sends every failed target again: its run is retried with what it has finished, or, where that alone decides
/// its failure, replayed.
///
/// # Errors
/// 409 `invalid_transition` for a batch that is a draft or was cancelled, `nothing_failed`.
pub async fn retry(ctx: &Ctx, id: Uuid) -> Result<BatchTaskView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    ctx.view.require(row.workspace_id)?;
    require_open(ctx, row.workspace_id).await?;
    let counters = counters(ctx, id).await?;
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    let locked = rows::lock(&tx, rows::key(&row)).await?.ok_or(Error::not_found("batch task"))?;
    if matches!(locked.status, BatchStatus::Draft | BatchStatus::Validating | BatchStatus::Cancelled) {
        let message = "Only targets of a batch that has begun and was not cancelled are retried.";
        return Err(Error::conflict("invalid_transition", message));
    }
    let now = ctx.core.clock.now();
    let again =
        rows::count(&tx, rows::key(&row), TargetStatus::Failed, i64::from(locked.last_number)).await?;
    if again == 0 {
        return Err(Error::conflict("nothing_failed", "No target of the batch has failed."));
    }
    // The rounds queue them, a page at a time.
    let sql = "UPDATE batch_task SET status = 'RUNNING', status_reason = NULL, status_note = NULL, next_at = $3, \
         retried_number = 0, completed_at = NULL, revision = revision + 1, updated_at = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![ctx.tenant.into(), id.into(), now.into()]).await?;
    let changed = rows::lock(&tx, rows::key(&row)).await?.ok_or(Error::not_found("batch task"))?;
    let view = BatchTaskView::from(changed).with(counters);
    let told = json!({ "name": view.name, "retried": again });
    ctx.finish(tx, Change::of::<Entity>(id).with(told), &view).await?;
    ctx.core.batches.ring();
    Ok(view)
}
