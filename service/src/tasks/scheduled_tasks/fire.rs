//! Firing what is due, a page of schedules in one transaction: fires, runs and the next times together.
//!
//! Invariants: any number of nodes fire a time once. A page is planned from what was read, and made under the
//! locks of its schedules; those that changed meanwhile are left for the next look. Runs are admitted before
//! the transaction begins, because admission reads and counts on connections of its own.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::tasks::schedule_fire::{self, FireReason};
use entity::tasks::scheduled_task::{Model, Overlap};
use sea_orm::FromQueryResult as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::overlap::{self, Key, Open, Turn};
use super::plan::{self, Due, Verdict};
use super::records::{self, Becomes as _, Moved};
use super::settings::{ScheduleSettings, jitter};
use crate::core::Core;
use crate::ctx::{Automation, Ctx};
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::tasks::launch::{Launch, Launched, Missing};
use crate::tasks::targets::Wanted;
use crate::templates::{Context, Template};

/// Schedules of one transaction. On SQLite nobody else writes meanwhile.
pub(super) const PAGE: usize = 128;
/// Fires of one transaction, beside those of its last schedule.
const MOST_FIRES: usize = 500;

const DUE: &str = "SELECT * FROM scheduled_task WHERE next_fire_at IS NOT NULL AND next_fire_at <= $1 \
     ORDER BY next_fire_at LIMIT $2 OFFSET $3";

/// A schedule of the page, and what is to be done about it.
struct Task {
    row: Model,
    open: Open,
    fires: Vec<schedule_fire::Model>,
    moved: Moved,
}

/// Fires one page; how many schedules were looked at. `skip` lets nodes that are busy with many look at
/// different ones.
pub async fn page(core: &Core, now: DateTime<Utc>, skip: usize) -> Result<usize> {
    let system = core.db.system(Reason::Engine);
    let count = |number: usize| i64::try_from(number).unwrap_or(0);
    let found = system.query(DUE, vec![now.into(), count(PAGE).into(), count(skip).into()]).await?;
    let rows = found.iter().map(|row| Model::from_query_result(row, "")).collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        return Ok(0);
    }
    let keys: Vec<Key> = rows.iter().filter(|row| row.overlap != Overlap::Allow).map(key).collect();
    let open = overlap::look(&system, &keys).await?;
    let mut launch = Launch::default();
    let mut tasks: Vec<Task> = Vec::with_capacity(rows.len());
    let mut fires = 0;
    for row in rows {
        if fires >= MOST_FIRES {
            break;
        }
        let open = open.get(&key(&row)).copied().unwrap_or_default();
        let id = row.id;
        match task(core, &mut launch, row, open, now).await {
            Ok(task) => {
                fires += task.fires.len();
                tasks.push(task);
            }
            // It is looked at again, and keeps no other waiting.
            Err(error) => tracing::warn!(%error, schedule.id = %id, "a schedule could not be fired"),
        }
    }
    let looked = tasks.len();
    commit(core, launch, tasks, now).await?;
    Ok(looked)
}

pub(super) fn key(row: &Model) -> Key {
    (row.tenant_id, row.id)
}

async fn task(core: &Core, launch: &mut Launch, row: Model, open: Open, now: DateTime<Utc>) -> Result<Task> {
    let settings = ScheduleSettings::of(&row)?;
    let plan = plan::plan(&row, &settings, now)?;
    let lateness = jitter(row.id, settings.jitter_seconds);
    let mut then = open;
    let mut fires = Vec::with_capacity(plan.dues.len());
    for due in &plan.dues {
        let Due { due_at, last_due_at, instants, kind, verdict } = *due;
        let mut fire = records::waiting(core, &row, kind, due_at, due_at + lateness);
        (fire.last_due_at, fire.instants) = (last_due_at, instants);
        let turn = match verdict {
            Verdict::Run => then.take(row.overlap),
            Verdict::Skip(reason) => Turn::Skip(reason),
            Verdict::Coalesce => Turn::Coalesce,
        };
        match turn {
            Turn::Wait => {}
            Turn::Coalesce => fire.coalesce(),
            Turn::Skip(reason) => fire.skip(reason, None),
            Turn::Start => {
                if !start(core, launch, &row, &mut fire).await? {
                    then.running -= 1;
                }
            }
        }
        fires.push(fire);
    }
    let last_due_at = plan.dues.last().map_or(now, |due| due.last_due_at);
    let moved = Moved {
        key: key(&row),
        last_due_at,
        next: plan.next.map(|next| (next, next + lateness)),
        is_over: plan.next.is_none(),
        at: now,
    };
    Ok(Task { row, open, fires, moved })
}

/// Admits the run of a fire, or says on the fire why there is none.
pub(super) async fn start(
    core: &Core,
    launch: &mut Launch,
    row: &Model,
    fire: &mut schedule_fire::Model,
) -> Result<bool> {
    let ctx = Ctx::automation(core, row.tenant_id, Automation::Schedule, row.id, "fire_scheduled_task");
    let admitted = match input(row, fire) {
        Ok(input) => launch.add(&ctx, Wanted::Definition(row.definition_id), input).await.map(|run| {
            run.metadata =
                json!({ "scheduledTaskId": row.id, "scheduleFireId": fire.id, "dueAt": fire.due_at });
            run.id
        }),
        Err(error) => Err(error),
    };
    match admitted {
        Ok(run) => {
            fire.start(run);
            Ok(true)
        }
        Err(error) => {
            let (reason, detail) = refusal(error)?;
            fire.skip(reason, Some(detail));
            Ok(false)
        }
    }
}

/// What the run of a fire is given.
pub(super) fn input(row: &Model, fire: &schedule_fire::Model) -> Result<Value> {
    let template = fire.input.as_ref().unwrap_or(&row.input);
    if !has_braces(template) {
        return Ok(template.clone());
    }
    let of =
        json!({ "schedule": { "id": row.id, "name": row.name, "dueAt": fire.due_at, "kind": fire.kind } });
    let rendered = Template::compile(template, "/input")?.render(&Context::from(&of));
    rendered.map_err(|error| Error::invalid(format!("/input{}", error.pointer), "template", error.message))
}

fn has_braces(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(items) => items.iter().any(has_braces),
        Value::Object(members) => members.values().any(has_braces),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Why a run was not admitted; an error that says nothing of the schedule is one still.
fn refusal(error: Error) -> Result<(FireReason, String)> {
    let detail: String = error.to_string().chars().take(500).collect();
    let reason = match &error {
        Error::Invalid { errors } if errors.iter().any(|field| field.pointer.starts_with("/input")) => {
            FireReason::InputInvalid
        }
        Error::Invalid { .. } => FireReason::TargetGone,
        Error::Conflict { code: "definition_inactive", .. } => FireReason::DefinitionInactive,
        Error::Conflict { code: "workspace_archived", .. } => FireReason::WorkspaceArchived,
        Error::Denied { code: "quota_exceeded", .. } => FireReason::QuotaExceeded,
        Error::Denied { code: "tenant_suspended", .. } => FireReason::TenantSuspended,
        Error::RateLimited { code: "queue_full", .. } => FireReason::QueueFull,
        _ => return Err(error),
    };
    Ok((reason, detail))
}

async fn commit(core: &Core, mut launch: Launch, tasks: Vec<Task>, now: DateTime<Utc>) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let mut tasks = unchanged(&tx, tasks).await?;
    let instants: Vec<_> = tasks
        .iter()
        .flat_map(|task| &task.fires)
        .map(|fire| (fire.tenant_id, fire.schedule_id, fire.due_at))
        .collect();
    let recorded: HashSet<_> = records::recorded(&tx, &instants).await?.into_iter().collect();
    for task in &mut tasks {
        task.fires.retain(|fire| !recorded.contains(&(fire.tenant_id, fire.schedule_id, fire.due_at)));
    }
    let wanted: HashSet<Uuid> =
        tasks.iter().flat_map(|task| &task.fires).filter_map(|fire| fire.run_id).collect();
    launch.retain(|run| wanted.contains(&run));
    let launched = launch.create(&tx).await?;
    let mut fires = Vec::with_capacity(instants.len());
    let mut moved = Vec::with_capacity(tasks.len());
    for task in tasks {
        moved.push(task.moved);
        fires.extend(task.fires);
    }
    not_created(&mut fires, &launched);
    records::insert(&tx, &fires).await?;
    records::advance(&tx, &moved).await?;
    tx.commit().await?;
    for fire in &fires {
        let late = (now - fire.fire_at).num_milliseconds();
        metrics::counter!("schedule_fires", "status" => label(fire)).increment(1);
        if fire.run_id.is_some() {
            metrics::histogram!("schedule_fire_late_ms")
                .record(f64::from(i32::try_from(late).unwrap_or(i32::MAX)));
        }
    }
    launch.committed(core, launched);
    Ok(())
}

/// A run that was admitted and not created is one of a tenant that is not active, or a key refused it.
pub(super) fn not_created(fires: &mut [schedule_fire::Model], launched: &Launched) {
    for fire in fires {
        match fire.run_id.and_then(|run| launched.missing(run)) {
            None => {}
            Some(Missing::Inactive) => fire.skip(FireReason::TenantSuspended, None),
            Some(_) => fire.skip(FireReason::KeyTaken, None),
        }
    }
}

fn label(fire: &schedule_fire::Model) -> &'static str {
    use entity::tasks::schedule_fire::FireStatus;
    match fire.status {
        FireStatus::Pending => "pending",
        FireStatus::Started => "started",
        FireStatus::Skipped => "skipped",
        FireStatus::Coalesced => "coalesced",
    }
}

/// Those of the tasks whose schedule is locked now and stands as it was read, with as many open fires.
async fn unchanged(tx: &SystemTx, tasks: Vec<Task>) -> Result<Vec<Task>> {
    let keys: Vec<Key> = tasks.iter().map(|task| key(&task.row)).collect();
    let mut locked = HashMap::with_capacity(keys.len());
    for row in overlap::lock(tx, &keys).await? {
        let row = Model::from_query_result(&row, "")?;
        locked.insert(key(&row), (row.revision, row.next_due_at));
    }
    let of = |task: &Task| task.row.overlap != Overlap::Allow;
    let limited: Vec<Key> = tasks.iter().filter(|task| of(task)).map(|task| key(&task.row)).collect();
    let open = overlap::look_in(tx, &limited).await?;
    let stands = |task: &Task| {
        let key = key(&task.row);
        let same = locked.get(&key) == Some(&(task.row.revision, task.row.next_due_at));
        same && (!of(task) || open.get(&key).copied().unwrap_or_default() == task.open)
    };
    Ok(tasks.into_iter().filter(stands).collect())
}
