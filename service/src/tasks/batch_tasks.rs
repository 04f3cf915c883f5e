//! Batches: a definition over many targets, each of which becomes one run.
//!
//! Invariants: runs are created in pages, as the pacing allows, so that a million targets flood neither the
//! queue nor the memory; a target and its run are written in one transaction, so that each has exactly one;
//! what is counted is counted from the targets. Every change of a batch's targets happens under the lock of
//! its row.

mod actions;
mod admit;
mod estimate;
mod pace;
mod rows;
mod send;
mod settle;
mod views;
mod work;

use chrono::{DateTime, Utc};
use entity::tasks::batch_task::{ActiveModel, BatchStatus, Column, Entity, Model};
use entity::tasks::task_target;
use sea_orm::{ColumnTrait as _, Condition, Set};
use uuid::Uuid;

use super::task_definitions::TaskDefinitions;
use crate::crud::{self, Expected, Page, Paging, Resource, metadata};
use crate::ctx::Ctx;
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::Quota;
use crate::identity::workspaces::require_open;

pub use actions::{PauseBatchTask, cancel, pause, resume, retry, start};
pub(super) use admit::described;
pub use estimate::{BatchDryRun, BatchEstimate, DryRunFilter, dry_run, estimate};
pub(super) use rows::{key, lock};
pub use views::{
    BatchCounters, BatchTaskFilter, BatchTaskPage, BatchTaskView, CreateBatchTask, Pacing, UpdateBatchTask,
};
pub use work::{round, run};

pub struct BatchTasks;

impl Resource for BatchTasks {
    type Entity = Entity;
    type View = BatchTaskView;

    const QUOTA: Option<Quota> = Some(Quota::BatchTasks);

    fn taken() -> Error {
        Error::conflict("name_taken", "A batch task of this name exists.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &BatchTaskFilter) -> Result<Page<BatchTaskView>> {
    let BatchTaskFilter { definition_id, workspace_id, status } = filter;
    let condition = Condition::all()
        .add_option(definition_id.map(|id| Column::DefinitionId.eq(id)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)))
        .add_option(status.map(|status| Column::Status.eq(status)));
    crud::list::<BatchTasks>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<BatchTaskView> {
    let view = crud::get::<BatchTasks>(ctx, id).await?;
    Ok(view.with(counters(ctx, id).await?))
}

async fn counters(ctx: &Ctx, id: Uuid) -> Result<BatchCounters> {
    let sql = "SELECT status, COUNT(*) AS targets, CAST(COALESCE(SUM(cost_nanos), 0) AS BIGINT) AS cost \
         FROM task_target WHERE tenant_id = $1 AND batch_id = $2 GROUP BY status";
    let mut counters = BatchCounters::default();
    for row in ctx.db().query(sql, vec![id.into()]).await? {
        let targets: i64 = row.try_get("", "targets")?;
        counters.total += targets;
        counters.cost += entity::money::Nanos(row.try_get("", "cost")?);
        *match row.try_get("", "status")? {
            task_target::TargetStatus::Pending => &mut counters.pending,
            task_target::TargetStatus::Running => &mut counters.running,
            task_target::TargetStatus::Completed => &mut counters.completed,
            task_target::TargetStatus::Failed => &mut counters.failed,
            task_target::TargetStatus::Cancelled => &mut counters.cancelled,
        } = targets;
    }
    Ok(counters)
}

/// # Errors
/// 422 at what does not fit; 409 `name_taken`, `workspace_archived`; 403 `quota_exceeded`.
pub async fn create(ctx: &Ctx, body: CreateBatchTask) -> Result<BatchTaskView> {
    if let Some(view) = ctx.replay::<BatchTaskView>().await? {
        return Ok(view.with(BatchCounters::default()));
    }
    let CreateBatchTask { name, definition_id, pacing, max_failures, max_cost, metadata } = body;
    views::check_cost(max_cost)?;
    let definition = crud::load_named::<TaskDefinitions>(ctx, definition_id, "/definitionId").await?;
    ctx.view.require(definition.workspace_id)?;
    require_open(ctx, definition.workspace_id).await?;
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id: definition.workspace_id,
        definition_id,
        name,
        status: BatchStatus::Draft,
        status_reason: None,
        status_note: None,
        rate_per_minute: pacing.rate_per_minute.map(views::small).transpose()?,
        max_in_flight: views::small(pacing.max_in_flight)?,
        max_failures: max_failures.map(views::small).transpose()?,
        max_cost_nanos: max_cost,
        spent_nanos: entity::money::Nanos::ZERO,
        last_number: 0,
        checked_number: 0,
        retried_number: None,
        paced_at: None,
        next_at: None,
        created_by: ctx.actor.to_string(),
        metadata: metadata::stored(metadata),
        revision: 1,
        started_at: None,
        completed_at: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    Ok(crud::create::<BatchTasks>(ctx, row).await?.with(BatchCounters::default()))
}

pub async fn update(ctx: &Ctx, id: Uuid, expected: Expected, body: UpdateBatchTask) -> Result<BatchTaskView> {
    let view =
        crud::update::<BatchTasks>(ctx, id, expected, |row| body.changes(row, ctx.core.clock.now())).await?;
    ctx.core.batches.ring();
    Ok(view.with(counters(ctx, id).await?))
}

/// Its targets go with it; its runs stay.
///
/// # Errors
/// 409 `invalid_transition` while it may create runs: cancel it first.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    ctx.view.require(row.workspace_id)?;
    expected.check(row.revision)?;
    if matches!(row.status, BatchStatus::Validating | BatchStatus::Running | BatchStatus::Paused) {
        let message = "A batch that has begun and not ended cannot be deleted: cancel it first.";
        return Err(Error::conflict("invalid_transition", message));
    }
    let tx = ctx.db().begin().await?;
    let now = ctx.core.clock.now();
    let changes =
        ActiveModel { deleted_at: Set(Some(now)), next_at: Set(Some(now)), ..ActiveModel::default() };
    let gone = crud::write::<BatchTasks>(ctx, &tx, id, row.revision, changes).await?;
    if gone.is_none() {
        return Err(match expected {
            Expected::OneOf(_) => Error::PreconditionFailed,
            Expected::Any => Error::conflict("concurrent_update", "The batch is being changed: try again."),
        });
    }
    ctx.commit(tx, Change::deleted::<Entity>(id, row.workspace_id, &BatchTaskView::from(row))).await?;
    ctx.core.batches.ring();
    Ok(())
}

/// The batches of definitions that move to another workspace move along, with their targets.
pub(crate) async fn move_of(tx: &TenantTx, definitions: &[Uuid], to: Option<Uuid>) -> Result<()> {
    for definition in definitions {
        let sql = "UPDATE batch_task SET workspace_id = $2 WHERE tenant_id = $1 AND definition_id = $3";
        tx.execute(sql, vec![to.into(), (*definition).into()]).await?;
        let sql = "UPDATE task_target SET workspace_id = $2 WHERE tenant_id = $1 AND batch_id IN \
             (SELECT id FROM batch_task b WHERE b.tenant_id = $1 AND b.definition_id = $3)";
        tx.execute(sql, vec![to.into(), (*definition).into()]).await?;
    }
    Ok(())
}

/// Archiving a workspace pauses the batches that run in it.
pub(crate) async fn pause_within(tx: &TenantTx, workspace: Uuid, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE batch_task SET status = 'PAUSED', status_reason = 'WORKSPACE_ARCHIVED', \
         revision = revision + 1, updated_at = $2 WHERE tenant_id = $1 AND workspace_id = $3 \
         AND status IN ('VALIDATING', 'RUNNING') AND deleted_at IS NULL";
    tx.execute(sql, vec![now.into(), workspace.into()]).await?;
    Ok(())
}
