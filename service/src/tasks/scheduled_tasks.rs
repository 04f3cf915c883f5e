//! Schedules: when to run a definition.
//!
//! Invariants: each time that a schedule is due has exactly one fire, whatever the number of nodes; the fire,
//! its run and the schedule's next time are one transaction; the next time follows from the one that was due,
//! not from when it was looked at. Every change of a schedule's fires happens under the lock of its row.

mod actions;
mod belonging;
mod fire;
mod overlap;
mod plan;
mod records;
mod release;
mod rounds;
mod settings;
mod settle;
#[cfg(test)]
mod tests;
mod views;

use chrono::{DateTime, Utc};
use entity::tasks::scheduled_task::{ActiveModel, Column, Entity, Model, ScheduleStatus};
use entity::tasks::task_definition;
use sea_orm::{ColumnTrait as _, Condition, Set};
use uuid::Uuid;

use super::recurrences::OccurrencesView;
use super::task_definitions::TaskDefinitions;
use crate::crud::{self, Expected, Page, Paging, Resource, metadata};
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::Quota;
use crate::identity::workspaces::require_open;

pub use actions::{
    BackfillScheduledTask, BackfillView, PauseScheduledTask, TriggerScheduledTask, backfill, pause, resume,
    trigger,
};
pub(super) use belonging::follow;
pub(crate) use belonging::{move_of, pause_within, resume_within};
pub use rounds::{round, run};
pub use settings::ScheduleSettings;
pub use views::{
    CreateScheduledTask, ScheduledTaskFilter, ScheduledTaskPage, ScheduledTaskView, UpdateScheduledTask,
};

pub struct ScheduledTasks;

impl Resource for ScheduledTasks {
    type Entity = Entity;
    type View = ScheduledTaskView;

    const QUOTA: Option<Quota> = Some(Quota::ScheduledTasks);

    fn taken() -> Error {
        Error::conflict("name_taken", "A scheduled task of this name exists.")
    }
}

pub async fn list(
    ctx: &Ctx,
    paging: &Paging,
    filter: &ScheduledTaskFilter,
) -> Result<Page<ScheduledTaskView>> {
    let ScheduledTaskFilter { definition_id, workspace_id, status, schedule_type } = filter;
    let condition = Condition::all()
        .add_option(definition_id.map(|id| Column::DefinitionId.eq(id)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)))
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(schedule_type.map(|kind| Column::ScheduleType.eq(kind)));
    crud::list::<ScheduledTasks>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<ScheduledTaskView> {
    crud::get::<ScheduledTasks>(ctx, id).await
}

/// The next times of the schedule, whatever its status.
pub async fn preview(ctx: &Ctx, id: Uuid, count: Option<u32>) -> Result<OccurrencesView> {
    let row = crud::load::<ScheduledTasks>(ctx, id).await?;
    let settings = ScheduleSettings::of(&row)?;
    let now = ctx.core.clock.now();
    let after = row.next_due_at.map_or(now, |next| next - chrono::TimeDelta::microseconds(1));
    let after =
        settings.starts_at.map_or(after, |start| after.max(start - chrono::TimeDelta::microseconds(1)));
    match settings.rhythm(row.created_at)? {
        Some(rhythm) => {
            Ok(OccurrencesView::of(&rhythm, settings.time_zone(), after, settings.ends_at, count))
        }
        None => Ok(OccurrencesView::once(row.next_due_at)),
    }
}

/// # Errors
/// 422 at what does not fit; 409 `name_taken`, `workspace_archived`.
pub async fn create(ctx: &Ctx, body: CreateScheduledTask) -> Result<ScheduledTaskView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    let (name, definition_id, metadata, settings) = body.into_parts();
    let definition = crud::load_named::<TaskDefinitions>(ctx, definition_id, "/definitionId").await?;
    ctx.view.require(definition.workspace_id)?;
    require_open(ctx, definition.workspace_id).await?;
    let mut row = new(ctx, &definition, name, settings, "")?;
    row.metadata = metadata::stored(metadata);
    let view = crud::create::<ScheduledTasks>(ctx, row).await?;
    ctx.core.schedules.ring();
    Ok(view)
}

/// A schedule of the definition, as it will be stored.
pub(super) fn new(
    ctx: &Ctx,
    definition: &task_definition::Model,
    name: String,
    settings: ScheduleSettings,
    pointer: &str,
) -> Result<Model> {
    let now = ctx.core.clock.now();
    settings.check(now, pointer)?;
    require_future(&settings, now, pointer)?;
    let mut row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id: definition.workspace_id,
        definition_id: definition.id,
        name,
        is_owned: false,
        schedule_type: settings.schedule_type,
        recurrence: None,
        run_at: None,
        delay_seconds: None,
        input: serde_json::Value::Null,
        overlap: settings.overlap,
        catchup: settings.catchup,
        catchup_window_seconds: 0,
        jitter_seconds: 0,
        starts_at: None,
        ends_at: None,
        status: ScheduleStatus::Active,
        status_reason: None,
        status_note: None,
        retry_count: 0,
        max_retries: None,
        next_due_at: None,
        next_fire_at: None,
        last_due_at: None,
        created_by: ctx.actor.to_string(),
        metadata: serde_json::json!({}),
        revision: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    settings.store(&mut row)?;
    aim(&mut row, now)?;
    Ok(row)
}

fn require_future(settings: &ScheduleSettings, now: DateTime<Utc>, pointer: &str) -> Result<()> {
    let is_past = |time: Option<DateTime<Utc>>| time.is_some_and(|time| time <= now);
    for (field, time) in [("runAt", settings.run_at), ("endsAt", settings.ends_at)] {
        if is_past(time) {
            return Err(Error::invalid(format!("{pointer}/{field}"), "past", "It is over already."));
        }
    }
    Ok(())
}

/// Sets the next time of an active schedule after `now`; one without any is over, unless it is triggered.
pub(super) fn aim(row: &mut Model, now: DateTime<Utc>) -> Result<()> {
    use entity::tasks::scheduled_task::ScheduleType;
    let settings = ScheduleSettings::of(row)?;
    let lateness = settings::jitter(row.id, settings.jitter_seconds);
    row.next_due_at = match row.status {
        ScheduleStatus::Paused => None,
        ScheduleStatus::Active | ScheduleStatus::Completed => settings.next_after(now, row.created_at)?,
    };
    row.next_fire_at = row.next_due_at.map(|due| due + lateness);
    if row.status != ScheduleStatus::Paused {
        let is_over = row.next_due_at.is_none() && row.schedule_type != ScheduleType::TriggerBased;
        row.status = if is_over { ScheduleStatus::Completed } else { ScheduleStatus::Active };
    }
    Ok(())
}

/// # Errors
/// 409 `owned_by_definition` for what the definition says; 422 at what does not fit.
pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    body: UpdateScheduledTask,
) -> Result<ScheduledTaskView> {
    if let Some(definition) = body.definition_id {
        let row = crud::load::<ScheduledTasks>(ctx, id).await?;
        let used = crud::load_named::<TaskDefinitions>(ctx, definition, "/definitionId").await?;
        if used.workspace_id != row.workspace_id {
            let message = "It belongs to another workspace than the schedule.";
            return Err(Error::invalid("/definitionId", "other_workspace", message));
        }
    }
    let view = crud::update::<ScheduledTasks>(ctx, id, expected, |row| {
        body.apply(row).and_then(|changed| changes(ctx, row, changed, ""))
    })
    .await?;
    ctx.core.schedules.ring();
    Ok(view)
}

/// From the row to what it should be: checked, with its next time if its times have changed.
pub(super) fn changes(ctx: &Ctx, row: &Model, mut changed: Model, pointer: &str) -> Result<ActiveModel> {
    let now = ctx.core.clock.now();
    let (old, new) = (ScheduleSettings::of(row)?, ScheduleSettings::of(&changed)?);
    if old != new {
        new.check(row.created_at, pointer)?;
        if (old.run_at, old.ends_at) != (new.run_at, new.ends_at) {
            require_future(&new, now, pointer)?;
        }
        if old.is_timed_otherwise(&new) {
            aim(&mut changed, now)?;
        }
    }
    Ok(difference(row, changed))
}

/// Sets the columns that differ.
fn difference(row: &Model, changed: Model) -> ActiveModel {
    use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
    let before = row.clone().into_active_model();
    let mut changes = <ActiveModel as Default>::default();
    let after = changed.into_active_model().reset_all();
    for column in <Column as sea_orm::Iterable>::iter() {
        let (old, new) = (before.get(column), after.get(column));
        if let (Some(old), Some(new)) = (old.into_value(), new.into_value())
            && old != new
        {
            changes.set(column, new);
        }
    }
    changes
}

/// Its fires that wait are skipped; its runs go on, and its history stays.
///
/// # Errors
/// 409 `owned_by_definition`.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    let row = crud::load::<ScheduledTasks>(ctx, id).await?;
    ctx.view.require(row.workspace_id)?;
    expected.check(row.revision)?;
    require_own(&row)?;
    let tx = ctx.db().begin().await?;
    let now = ctx.core.clock.now();
    let changes = ActiveModel {
        deleted_at: Set(Some(now)),
        next_due_at: Set(None),
        next_fire_at: Set(None),
        ..ActiveModel::default()
    };
    let gone = crud::write::<ScheduledTasks>(ctx, &tx, id, row.revision, changes).await?;
    if gone.is_none() {
        return Err(match expected {
            Expected::OneOf(_) => Error::PreconditionFailed,
            Expected::Any => {
                Error::conflict("concurrent_update", "The schedule is being changed: try again.")
            }
        });
    }
    tx.execute(FORGET_WAITING, vec![now.into(), id.into()]).await?;
    ctx.commit(tx, Change::deleted::<Entity>(id, row.workspace_id, &ScheduledTaskView::from(row))).await
}

const FORGET_WAITING: &str = "UPDATE schedule_fire SET status = 'SKIPPED', reason = 'SCHEDULE_DELETED', \
     settled_at = $2, updated_at = $2 WHERE tenant_id = $1 AND status = 'PENDING' AND schedule_id = $3";

/// A schedule that is its definition's trigger is changed there.
fn require_own(row: &Model) -> Result<()> {
    if !row.is_owned {
        return Ok(());
    }
    let message = "It is the trigger of its definition: change it there.";
    Err(Error::conflict("owned_by_definition", message))
}
