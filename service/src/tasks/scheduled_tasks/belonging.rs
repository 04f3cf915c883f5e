//! Schedules follow what they belong to: the definition that owns them or that they run, and its workspace.

use chrono::{DateTime, Utc};
use entity::tasks::scheduled_task::{Column, Entity, PauseReason, ScheduleStatus};
use entity::tasks::task_definition::{self, TaskType};
use sea_orm::ColumnTrait as _;
use uuid::Uuid;

use super::{FORGET_WAITING, ScheduledTasks, aim, changes, difference, new};
use crate::crud::{self, Resource as _, document};
use crate::ctx::Ctx;
use crate::db::{TenantTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::identity::tenant_limits::{self, Quota};
use crate::tasks::triggers::Trigger;

const POINTER: &str = "/trigger/schedule";

/// Keeps the schedule that a SCHEDULED definition owns as its trigger says, and deletes the schedules of a
/// definition that is deleted.
pub(in crate::tasks) async fn follow(
    ctx: &Ctx,
    tx: &TenantTx,
    old: Option<&task_definition::Model>,
    new: Option<&task_definition::Model>,
) -> Result<()> {
    let now = ctx.core.clock.now();
    match (old, new) {
        (Some(old), None) => return delete_of(tx, old.id, false, now).await,
        (Some(old), Some(new)) if old.kind == TaskType::Scheduled && new.kind != TaskType::Scheduled => {
            return delete_of(tx, old.id, true, now).await;
        }
        (_, Some(definition)) if definition.kind == TaskType::Scheduled => own(ctx, tx, definition).await?,
        _ => return Ok(()),
    }
    ctx.core.schedules.ring();
    Ok(())
}

async fn own(ctx: &Ctx, tx: &TenantTx, definition: &task_definition::Model) -> Result<()> {
    let trigger: Trigger = document::read(definition.trigger_config.clone());
    let Some(settings) = trigger.schedule else { return Ok(()) };
    let mine = tx.everywhere::<Entity>().filter(Column::DefinitionId.eq(definition.id));
    let mine = mine.filter(Column::IsOwned.eq(true)).filter(Column::DeletedAt.is_null());
    let Some(row) = mine.one().await? else {
        tenant_limits::admit(ctx, tx, Quota::ScheduledTasks).await?;
        let mut row = new(ctx, definition, definition.name.clone(), settings, POINTER)?;
        row.is_owned = true;
        let inserted = tx.insert::<Entity>(row).await;
        inserted.map_err(on_violation(Violation::Unique, ScheduledTasks::taken()))?;
        return Ok(());
    };
    let mut changed = row.clone();
    settings.store(&mut changed)?;
    changed.name.clone_from(&definition.name);
    let changes = changes(ctx, &row, changed, POINTER)?;
    if sea_orm::ActiveModelTrait::is_changed(&changes) {
        let written = crud::write::<ScheduledTasks>(ctx, tx, row.id, row.revision, changes).await?;
        written.ok_or_else(|| {
            Error::conflict("concurrent_update", "The schedule is being changed by others: try again.")
        })?;
    }
    Ok(())
}

async fn delete_of(tx: &TenantTx, definition: Uuid, only_owned: bool, now: DateTime<Utc>) -> Result<()> {
    let owned = if only_owned { tx.dialect().literal(true) } else { "is_owned" };
    let sql = format!(
        "UPDATE scheduled_task SET deleted_at = $2, next_due_at = NULL, next_fire_at = NULL, updated_at = $2, \
         revision = revision + 1 WHERE tenant_id = $1 AND definition_id = $3 AND deleted_at IS NULL \
         AND is_owned = {owned} RETURNING id"
    );
    for row in tx.query(&sql, vec![now.into(), definition.into()]).await? {
        let id: Uuid = row.try_get("", "id")?;
        tx.execute(FORGET_WAITING, vec![now.into(), id.into()]).await?;
    }
    Ok(())
}

/// The schedules of definitions that move to another workspace move along, with their fires.
pub(crate) async fn move_of(tx: &TenantTx, definitions: &[Uuid], to: Option<Uuid>) -> Result<()> {
    for definition in definitions {
        let sql = "UPDATE scheduled_task SET workspace_id = $2 WHERE tenant_id = $1 AND definition_id = $3";
        tx.execute(sql, vec![to.into(), (*definition).into()]).await?;
        let sql = "UPDATE schedule_fire SET workspace_id = $2 WHERE tenant_id = $1 AND schedule_id IN \
             (SELECT id FROM scheduled_task s WHERE s.tenant_id = $1 AND s.definition_id = $3)";
        tx.execute(sql, vec![to.into(), (*definition).into()]).await?;
    }
    Ok(())
}

/// Archiving a workspace pauses its active schedules.
pub(crate) async fn pause_within(tx: &TenantTx, workspace: Uuid, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE scheduled_task SET status = 'PAUSED', status_reason = 'WORKSPACE_ARCHIVED', next_due_at = NULL, \
         next_fire_at = NULL, revision = revision + 1, updated_at = $2 \
         WHERE tenant_id = $1 AND workspace_id = $3 AND status = 'ACTIVE' AND deleted_at IS NULL";
    tx.execute(sql, vec![now.into(), workspace.into()]).await?;
    Ok(())
}

/// What archiving paused goes on, with its next time after now.
pub(crate) async fn resume_within(tx: &TenantTx, workspace: Uuid, now: DateTime<Utc>) -> Result<()> {
    let rows = tx
        .everywhere::<Entity>()
        .filter(Column::WorkspaceId.eq(workspace))
        .filter(Column::StatusReason.eq(PauseReason::WorkspaceArchived))
        .filter(Column::DeletedAt.is_null())
        .all()
        .await?;
    for row in rows {
        let mut changed = row.clone();
        (changed.status, changed.status_reason, changed.status_note) = (ScheduleStatus::Active, None, None);
        aim(&mut changed, now)?;
        (changed.revision, changed.updated_at) = (row.revision + 1, now);
        let changes = difference(&row, changed);
        tx.update::<Entity>(row.id, Column::Revision.eq(row.revision), changes).await?;
    }
    Ok(())
}
