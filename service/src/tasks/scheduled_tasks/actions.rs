//! What people do to a schedule: pause and resume it, run it now, make up for times of the past.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::schedule_fire::{self, FireKind, FireStatus};
use entity::tasks::scheduled_task::{
    Column, Entity, Model, Overlap, PauseReason, ScheduleStatus, ScheduleType,
};
use sea_orm::{ColumnTrait as _, FromQueryResult as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::fire::{input, key};
use super::overlap::{self, MOST_WAITING, Open, Turn};
use super::records::{self, Becomes as _};
use super::settings::{ScheduleSettings, jitter};
use super::{ScheduledTaskView, ScheduledTasks, aim, difference};
use crate::crud::{self, Once, time};
use crate::ctx::{Automation, Ctx};
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::workspaces::require_open;
use crate::tasks::launch::Launch;
use crate::tasks::schedule_fires::ScheduleFireView;
use crate::tasks::targets::Wanted;

/// Times that one backfill may make up for.
const MOST_BACKFILLED: usize = 1_000;
const TRIES: usize = 5;

/// Why a schedule is paused.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "reason": "The upstream system is down until Monday." }))]
pub struct PauseScheduledTask {
    #[validate(length(max = 500))]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// From now on no time is due, and fires that wait go on waiting. What runs goes on.
///
/// # Errors
/// 409 `invalid_transition` for one that is not active.
pub async fn pause(ctx: &Ctx, id: Uuid, body: PauseScheduledTask) -> Result<ScheduledTaskView> {
    move_to(ctx, id, ScheduleStatus::Active, "Only an active schedule can be paused.", |row, _| {
        row.status = ScheduleStatus::Paused;
        (row.status_reason, row.status_note) = (Some(PauseReason::ByUser), body.reason.clone());
        (row.next_due_at, row.next_fire_at) = (None, None);
        Ok(())
    })
    .await
}

/// Times are due again, from now on; those that passed meanwhile are not made up for.
///
/// # Errors
/// 409 `invalid_transition` for one that is not paused, `workspace_archived`.
pub async fn resume(ctx: &Ctx, id: Uuid) -> Result<ScheduledTaskView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let row = crud::load::<ScheduledTasks>(ctx, id).await?;
    require_open(ctx, row.workspace_id).await?;
    let view =
        move_to(ctx, id, ScheduleStatus::Paused, "Only a paused schedule can be resumed.", |row, now| {
            row.status = ScheduleStatus::Active;
            (row.status_reason, row.status_note, row.retry_count) = (None, None, 0);
            aim(row, now)
        })
        .await?;
    ctx.core.schedules.ring();
    Ok(view)
}

async fn move_to(
    ctx: &Ctx,
    id: Uuid,
    from: ScheduleStatus,
    otherwise: &'static str,
    change: impl Fn(&mut Model, DateTime<Utc>) -> Result<()> + Send,
) -> Result<ScheduledTaskView> {
    for _ in 0..TRIES {
        let tx = match ctx.begin_once().await? {
            Once::Replay(view) => return Ok(view),
            Once::First(tx) => tx,
        };
        let found = tx.get::<Entity>(id).await?.filter(|row| row.deleted_at.is_none());
        let row = found.ok_or(Error::not_found("scheduled task"))?;
        if row.status != from {
            return Err(Error::conflict("invalid_transition", otherwise));
        }
        let (mut changed, now) = (row.clone(), ctx.core.clock.now());
        change(&mut changed, now)?;
        (changed.revision, changed.updated_at) = (row.revision + 1, now);
        let changes = difference(&row, changed);
        if let Some(written) = tx.update::<Entity>(id, Column::Revision.eq(row.revision), changes).await? {
            let (old, view) = (ScheduledTaskView::from(row), ScheduledTaskView::from(written));
            tx.finish(Change::updated::<Entity>(id, &old, &view), &view).await?;
            return Ok(view);
        }
    }
    Err(Error::conflict("concurrent_update", "The schedule is being changed by others: try again."))
}

/// A run that a schedule is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({}))]
pub struct TriggerScheduledTask {
    /// In the place of the schedule's input.
    pub input: Option<Value>,
    /// In the place of the schedule's strategy.
    pub overlap: Option<Overlap>,
}

/// Fires the schedule, whatever its status; a TRIGGER_BASED one after its delay.
///
/// # Errors
/// What `POST /v1/task-runs` answers for its definition and input.
pub async fn trigger(ctx: &Ctx, id: Uuid, body: TriggerScheduledTask) -> Result<ScheduleFireView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    for _ in 0..TRIES {
        let row = crud::load::<ScheduledTasks>(ctx, id).await?;
        ctx.view.require(row.workspace_id)?;
        if let Some(fire) = Box::pin(try_trigger(ctx, row, &body)).await? {
            return Ok(fire);
        }
    }
    Err(Error::conflict("concurrent_update", "The schedule is being changed by others: try again."))
}

/// `None` where the schedule, or what runs of it, changed meanwhile.
async fn try_trigger(ctx: &Ctx, row: Model, body: &TriggerScheduledTask) -> Result<Option<ScheduleFireView>> {
    let (core, now) = (&ctx.core, ctx.core.clock.now());
    let delay = TimeDelta::seconds(i64::from(row.delay_seconds.unwrap_or(0)));
    let system = core.db.system(Reason::Engine);
    let before = of(overlap::look(&system, &[key(&row)]).await?, &row);
    let mut fire = records::waiting(core, &row, FireKind::Trigger, now + delay, now + delay);
    (fire.input, fire.created_by) = (body.input.clone(), ctx.actor.to_string());
    let is_later = row.schedule_type == ScheduleType::TriggerBased && !delay.is_zero();
    let turn = match before.clone().take(body.overlap.unwrap_or(row.overlap)) {
        Turn::Start if is_later => Turn::Wait,
        turn => turn,
    };
    let mut launch = Launch::default();
    match turn {
        Turn::Wait => {}
        Turn::Coalesce => fire.coalesce(),
        Turn::Skip(reason) => fire.skip(reason, None),
        Turn::Start => {
            let within = Ctx::automation(core, row.tenant_id, Automation::Schedule, row.id, ctx.operation);
            let run = launch.add(&within, Wanted::Definition(row.definition_id), input(&row, &fire)?).await?;
            run.created_by = ctx.actor.to_string();
            run.metadata =
                json!({ "scheduledTaskId": row.id, "scheduleFireId": fire.id, "dueAt": fire.due_at });
            fire.start(run.id);
        }
    }
    let tx = system.begin().await?;
    let Some(locked) = lock(&tx, &row).await? else { return Ok(None) };
    let after = of(overlap::look_in(&tx, &[key(&row)]).await?, &row);
    if locked.revision != row.revision || before != after {
        return Ok(None);
    }
    let taken = records::recorded(&tx, &[(fire.tenant_id, fire.schedule_id, fire.due_at)]).await?;
    if !taken.is_empty() {
        return Ok(None);
    }
    let launched = launch.create(&tx).await?;
    if let Some(run) = fire.run_id
        && launched.of(run)? != run
    {
        return Err(Error::conflict("dedupe_key_taken", "A live run has the definition's dedupe key."));
    }
    records::insert(&tx, std::slice::from_ref(&fire)).await?;
    let view = ScheduleFireView::from(fire);
    let told = json!({ "name": row.name, "fireId": view.id, "status": view.status, "runId": view.run_id });
    ctx.finish(tx, Change::of::<Entity>(row.id).with(told), &view).await?;
    launch.committed(core, launched);
    core.schedules.ring();
    Ok(Some(view))
}

fn of(open: HashMap<overlap::Key, Open>, row: &Model) -> Open {
    open.get(&key(row)).copied().unwrap_or_default()
}

/// The schedule, held until the transaction ends.
async fn lock(tx: &SystemTx, row: &Model) -> Result<Option<Model>> {
    let sql = format!(
        "SELECT * FROM scheduled_task WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL{}",
        tx.dialect().for_update()
    );
    let found = tx.query(&sql, vec![row.tenant_id.into(), row.id.into()]).await?;
    Ok(found.first().map(|row| Model::from_query_result(row, "")).transpose()?)
}

/// Times of the past that are to be made up for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z" }))]
pub struct BackfillScheduledTask {
    /// The first moment.
    #[serde(deserialize_with = "time::required")]
    #[schema(value_type = DateTime<Utc>)]
    pub from: Option<DateTime<Utc>>,
    /// The last moment, not after now.
    #[serde(deserialize_with = "time::required")]
    #[schema(value_type = DateTime<Utc>)]
    pub to: Option<DateTime<Utc>>,
}

/// What a backfill did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackfillView {
    /// Times that had no fire and have one now.
    pub created: u32,
    /// Fires that were skipped or coalesced and wait for their turn now.
    pub taken_up: u32,
    /// Times whose fire had started or waits: they are left as they are.
    pub left: u32,
}

/// Gives each time of a span that started no run a fire that waits for its turn: one after the other, or side
/// by side where `overlap` is ALLOW. Times that had their run are left.
///
/// # Errors
/// 422 for a span that ends in the future or has more than 1,000 times; 409 `not_recurring`,
/// `too_many_waiting`.
pub async fn backfill(ctx: &Ctx, id: Uuid, body: BackfillScheduledTask) -> Result<BackfillView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    let row = crud::load::<ScheduledTasks>(ctx, id).await?;
    ctx.view.require(row.workspace_id)?;
    let settings = ScheduleSettings::of(&row)?;
    let times = times(&body, &row, &settings, ctx.core.clock.now())?;
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    let locked = lock(&tx, &row).await?.ok_or(Error::not_found("scheduled task"))?;
    let open = of(overlap::look_in(&tx, &[key(&row)]).await?, &row);
    let (first, last) = (times.first().copied(), times.last().copied());
    let known = between(&tx, &locked, first, last).await?;
    let lateness = jitter(row.id, settings.jitter_seconds);
    let mut view = BackfillView { created: 0, taken_up: 0, left: 0 };
    let (mut new, mut again) = (Vec::new(), Vec::new());
    let now = ctx.core.clock.now();
    for due_at in times {
        match known.get(&due_at) {
            None => {
                let mut fire =
                    records::waiting(&ctx.core, &locked, FireKind::Backfill, due_at, due_at + lateness);
                fire.created_by = ctx.actor.to_string();
                new.push(fire);
                view.created += 1;
            }
            Some(fire)
                if fire.instants == 1
                    && matches!(fire.status, FireStatus::Skipped | FireStatus::Coalesced) =>
            {
                let mut fire = fire.clone();
                (fire.kind, fire.status, fire.reason) = (FireKind::Backfill, FireStatus::Pending, None);
                (fire.detail, fire.settled_at, fire.updated_at) = (None, None, now);
                again.push(fire);
                view.taken_up += 1;
            }
            Some(_) => view.left += 1,
        }
    }
    if open.waiting + i64::from(view.created + view.taken_up) > MOST_WAITING {
        let message = format!("At most {MOST_WAITING} fires of a schedule wait: let some of them run first.");
        return Err(Error::conflict("too_many_waiting", message));
    }
    records::insert(&tx, &new).await?;
    records::decide(&tx, &again).await?;
    let told = json!({ "name": row.name, "from": body.from, "to": body.to, "fires": view });
    ctx.finish(tx, Change::of::<Entity>(id).with(told), &view).await?;
    ctx.core.schedules.ring();
    Ok(view)
}

fn times(
    body: &BackfillScheduledTask,
    row: &Model,
    settings: &ScheduleSettings,
    now: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>> {
    let Some(rhythm) = settings.rhythm(row.created_at)? else {
        return Err(Error::conflict("not_recurring", "Only the times of a RECURRING schedule are known."));
    };
    let (from, to) = (body.from.unwrap_or(now), body.to.unwrap_or(now));
    if to > now {
        return Err(Error::invalid("/to", "range", "Times of the future come by themselves."));
    }
    if from > to {
        return Err(Error::invalid("/from", "range", "from is not after to."));
    }
    let first = rhythm.next_after(from - TimeDelta::microseconds(1));
    let all = std::iter::successors(first, |time| rhythm.next_after(*time));
    // What is due by itself is not made up for.
    let to = row.next_due_at.map_or(to, |next| to.min(next - TimeDelta::microseconds(1)));
    let times: Vec<_> = all.take_while(|time| *time <= to).take(MOST_BACKFILLED + 1).collect();
    if times.len() > MOST_BACKFILLED {
        let message = format!("The span has more than {MOST_BACKFILLED} times: make several of it.");
        return Err(Error::invalid("/to", "too_many", message));
    }
    Ok(times)
}

async fn between(
    tx: &SystemTx,
    row: &Model,
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
) -> Result<HashMap<DateTime<Utc>, schedule_fire::Model>> {
    let Some((first, last)) = first.zip(last) else { return Ok(HashMap::new()) };
    let sql = "SELECT * FROM schedule_fire WHERE tenant_id = $1 AND schedule_id = $2 AND due_at >= $3 AND due_at <= $4";
    let rows = tx.query(sql, vec![row.tenant_id.into(), row.id.into(), first.into(), last.into()]).await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        let fire = schedule_fire::Model::from_query_result(&row, "")?;
        known.insert(fire.due_at, fire);
    }
    Ok(known)
}
