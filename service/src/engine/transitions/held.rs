//! What the holder of a lease may write: progress, and RUNNING → anything that ends the attempt.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::run_step::StepStatus;
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::{ActiveEnum as _, DbErr, Value};
use serde_json::Value::Object;
use serde_json::json;

use super::{Ended, Spawn, event, is};
use crate::db::Kind::{Bool, Int, Json, Text, Time, Uuid};
use crate::db::{Column, Dialect, SystemTx};
use crate::engine::{Progress, Step};

/// A write under a lease.
#[derive(Clone, Debug)]
pub struct HeldWrite {
    pub tenant: uuid::Uuid,
    pub run: uuid::Uuid,
    pub attempt: i32,
    pub fence: i64,
    /// Of the run, as it was claimed: neither changes while it runs.
    pub parent: Option<uuid::Uuid>,
    pub has_children: bool,
    pub progress: Progress,
    /// `None` only adds progress.
    pub change: Option<Change>,
    pub seen: Seen,
}

/// What the writer saw of the run, where several may write under one lease: a worker's calls can overtake
/// each other. The default has seen nothing, and writes whatever came between.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// The run's last event; a write that another came before is refused like one without a lease.
    pub event_seq: Option<i64>,
    /// The worker's last event that this write takes in.
    pub client_seq: Option<i64>,
}

impl HeldWrite {
    /// The run as its tree sees it, when this ended it and it is of one.
    pub fn ended(&self, written: &Written) -> Option<Ended> {
        let in_tree = self.parent.is_some() || self.has_children;
        (in_tree && written.status.is_terminal()).then_some(Ended {
            run: (self.tenant, self.run),
            parent: self.parent,
            has_children: self.has_children,
        })
    }
}

/// How the attempt ends.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub to: Option<(RunStatus, RunReason)>,
    pub output: Option<serde_json::Value>,
    pub error: Option<serde_json::Value>,
    /// When a requeued run may start again, and where it then stands in its lane.
    pub available: Option<(DateTime<Utc>, i64)>,
    pub wait_until: Option<DateTime<Utc>>,
    /// Child runs to start and wait for.
    pub spawn: Option<Spawn>,
    /// The attempt failed, and counts towards the retry policy.
    pub failed: bool,
    /// The attempt was given back and does not count.
    pub released: bool,
    /// By how many seconds the end of the run's total time is moved, because it waits for no fault of its own.
    pub postponed: i64,
    pub event_data: serde_json::Value,
}

/// The run after the write.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub status: RunStatus,
    pub reason: RunReason,
}

/// A write as a row.
struct Row<'a> {
    write: &'a HeldWrite,
    now: DateTime<Utc>,
}

impl Row<'_> {
    fn change(&self) -> Option<&Change> {
        self.write.change.as_ref()
    }

    fn to(&self) -> Option<(RunStatus, RunReason)> {
        self.change()?.to
    }

    fn is_change(&self, is: fn(&Change) -> bool) -> Value {
        i64::from(self.change().is_some_and(is)).into()
    }

    fn is_end(&self) -> bool {
        self.to().is_some_and(|to| to.0.is_terminal())
    }

    fn finished(&self) -> impl Iterator<Item = &Step> {
        self.write.progress.steps.iter().filter(|step| step.status != StepStatus::Started)
    }

    fn sum(&self, field: fn(&Step) -> i64) -> Value {
        self.finished().map(field).sum::<i64>().into()
    }

    fn last_step(&self) -> i32 {
        self.write.progress.steps.iter().map(|step| step.number).max().unwrap_or(0)
    }
}

const fn columns<'a>() -> [Column<Row<'a>>; 27] {
    [
        Column::new("tenant_id", Uuid, |row| row.write.tenant.into()),
        Column::new("id", Uuid, |row| row.write.run.into()),
        Column::new("fence", Int, |row| row.write.fence.into()),
        Column::new("at", Time, |row| row.now.into()),
        Column::new("status", Text, |row| row.to().map_or(RunStatus::Running, |to| to.0).to_value().into()),
        Column::new("reason", Text, |row| row.to().map_or(RunReason::Executing, |to| to.1).to_value().into()),
        Column::optional("output", Json, |row| row.change().and_then(|change| change.output.clone()).into()),
        Column::optional("error", Json, |row| row.change().and_then(|change| change.error.clone()).into()),
        Column::optional("available_at", Time, |row| {
            row.change().and_then(|change| Some(change.available?.0)).into()
        }),
        Column::optional("order_key", Int, |row| {
            row.change().and_then(|change| Some(change.available?.1)).into()
        }),
        Column::optional("wait_until", Time, |row| row.change().and_then(|change| change.wait_until).into()),
        Column::new("failed", Int, |row| row.is_change(|change| change.failed)),
        Column::new("released", Int, |row| row.is_change(|change| change.released)),
        Column::new("postponed", Int, |row| row.change().map_or(0, |change| change.postponed).into()),
        Column::new("changes", Int, |row| row.is_change(|change| change.to.is_some())),
        Column::new("events", Int, |row| i64::try_from(row.write.progress.events.len()).unwrap_or(0).into()),
        Column::new("last_step", Int, |row| i64::from(row.last_step()).into()),
        Column::new("tokens_input", Int, |row| row.sum(|step| step.usage.input)),
        Column::new("tokens_cache_read", Int, |row| row.sum(|step| step.usage.cache_read)),
        Column::new("tokens_cache_write", Int, |row| row.sum(|step| step.usage.cache_write)),
        Column::new("tokens_output", Int, |row| row.sum(|step| step.usage.output)),
        Column::new("tokens_reasoning", Int, |row| row.sum(|step| step.usage.reasoning)),
        Column::new("cost_nanos", Int, |row| row.finished().map(|step| step.cost).sum::<Nanos>().0.into()),
        Column::new("unpriced", Bool, |row| row.finished().any(|step| step.unpriced).into()),
        Column::new("ended", Int, |row| i64::from(row.is_end()).into()),
        Column::optional("seen", Int, |row| row.write.seen.event_seq.into()),
        Column::optional("client_seq", Int, |row| row.write.seen.client_seq.into()),
    ]
}

/// A cancel that was asked for turns a requeue or a wait into its end.
const STATUS: &str = "CASE WHEN r.cancel_requested_at IS NOT NULL AND v.status IN ('PENDING', 'WAITING') \
                      THEN 'CANCELLED' ELSE v.status END";

fn statement(dialect: Dialect) -> String {
    let step_count = dialect.greatest("v.last_step", "r.step_count");
    format!(
        "UPDATE task_run AS r SET \
         status = {STATUS}, \
         reason = CASE WHEN v.changes = 0 THEN r.reason WHEN {STATUS} = 'CANCELLED' THEN COALESCE(r.cancel_reason, 'BY_USER') ELSE v.reason END, \
         output = COALESCE(v.output, r.output), \
         error = CASE WHEN v.status = 'COMPLETED' THEN NULL ELSE COALESCE(v.error, r.error) END, \
         lease_owner = CASE WHEN v.changes = 0 THEN r.lease_owner END, \
         lease_expires_at = CASE WHEN v.changes = 0 THEN r.lease_expires_at END, \
         attempt_deadline_at = CASE WHEN v.changes = 0 THEN r.attempt_deadline_at END, \
         deadline_at = CASE WHEN v.postponed > 0 THEN {postponed} ELSE r.deadline_at END, \
         available_at = COALESCE(v.available_at, r.available_at), \
         order_key = COALESCE(v.order_key, r.order_key), \
         queued_at = CASE WHEN {STATUS} = 'PENDING' THEN v.at ELSE r.queued_at END, \
         queue_expires_at = CASE WHEN {STATUS} = 'PENDING' THEN {next_start} ELSE r.queue_expires_at END, \
         wait_until = CASE WHEN {STATUS} = 'WAITING' THEN v.wait_until END, \
         waiting_since = CASE WHEN {STATUS} = 'WAITING' THEN v.at END, \
         completed_at = CASE WHEN v.ended = 1 OR {STATUS} = 'CANCELLED' THEN v.at END, \
         failures = r.failures + v.failed, \
         lost_count = CASE WHEN v.last_step > r.step_count THEN 0 ELSE r.lost_count END, \
         attempt = CASE WHEN {STATUS} = 'CANCELLED' THEN r.attempt ELSE r.attempt - v.released END, \
         event_seq = r.event_seq + v.events + v.changes, \
         client_seq = COALESCE(v.client_seq, r.client_seq), \
         step_count = {step_count}, \
         tokens_input = r.tokens_input + v.tokens_input, \
         tokens_cache_read = r.tokens_cache_read + v.tokens_cache_read, \
         tokens_cache_write = r.tokens_cache_write + v.tokens_cache_write, \
         tokens_output = r.tokens_output + v.tokens_output, \
         tokens_reasoning = r.tokens_reasoning + v.tokens_reasoning, \
         cost_nanos = r.cost_nanos + v.cost_nanos, \
         unpriced = CASE WHEN v.unpriced THEN v.unpriced ELSE r.unpriced END, \
         updated_at = v.at \
         FROM {rows} \
         WHERE r.tenant_id = v.tenant_id AND r.id = v.id AND r.{held} AND r.fence = v.fence \
         AND r.lease_expires_at > v.at AND r.event_seq = COALESCE(v.seen, r.event_seq) \
         {returning}",
        next_start = dialect.greatest(
            "r.queue_expires_at",
            &dialect.after_seconds("COALESCE(v.available_at, v.at)", super::NEXT_START)
        ),
        postponed = dialect.after_seconds("r.deadline_at", "v.postponed"),
        held = is("RUNNING"),
        rows = dialect.rows(1, &columns()),
        returning = dialect.returning_of("r"),
    )
}

/// Applies the writes whose leases are still held, at most one a run, with their steps and events.
/// A write that is not in the answer changed nothing: its lease is lost.
pub async fn write(
    tx: &SystemTx,
    writes: &[&HeldWrite],
    now: DateTime<Utc>,
) -> Result<HashMap<uuid::Uuid, Written>, DbErr> {
    let sql = statement(tx.dialect());
    let rows: Vec<_> = writes.iter().map(|write| Row { write, now }).collect();
    let mut written = HashMap::with_capacity(writes.len());
    let mut last_seq: HashMap<uuid::Uuid, i64> = HashMap::with_capacity(writes.len());
    for found in tx.query(&sql, tx.dialect().bind(&columns(), &rows)).await? {
        let id = found.try_get("", "id")?;
        last_seq.insert(id, found.try_get("", "event_seq")?);
        written.insert(
            id,
            Written { status: found.try_get("", "status")?, reason: found.try_get("", "reason")? },
        );
    }
    let mut events = Vec::new();
    let mut steps = Vec::new();
    for write in writes {
        let Some((after, last)) = written.get(&write.run).zip(last_seq.get(&write.run)) else { continue };
        let changes = i64::from(write.change.as_ref().is_some_and(|change| change.to.is_some()));
        let count = i64::try_from(write.progress.events.len()).unwrap_or(i64::MAX);
        let first = last - count - changes + 1;
        for (seq, entry) in (first..).zip(&write.progress.events) {
            events.push(event(write.tenant, write.run, seq, entry.kind, entry.data.clone(), now));
        }
        if let Some(change) = write.change.as_ref().filter(|change| change.to.is_some()) {
            let mut data = json!({ "reason": after.reason });
            if let (Object(data), Object(more)) = (&mut data, &change.event_data) {
                data.extend(more.clone());
            }
            if let (RunStatus::Waiting, Some(spawn)) = (after.status, &change.spawn) {
                data["started"] = json!(spawn.children.len());
            }
            events.push(event(write.tenant, write.run, *last, event_kind(after.status, change), data, now));
        }
        steps.extend(write.progress.steps.iter().map(|step| StepRow { write, step, now }));
    }
    insert_steps(tx, &steps).await?;
    super::append_events(tx, &events).await?;
    Ok(written)
}

fn event_kind(status: RunStatus, change: &Change) -> &'static str {
    match status {
        RunStatus::Completed => "run.completed",
        RunStatus::Failed => "run.failed",
        RunStatus::Cancelled => "run.cancelled",
        RunStatus::Waiting => "run.waiting",
        RunStatus::Pending if change.failed => "run.retrying",
        RunStatus::Pending if change.to.is_some_and(|to| to.1 == RunReason::RateLimited) => {
            "run.rate_limited"
        }
        RunStatus::Pending | RunStatus::Running => "run.released",
    }
}

/// A step as a row.
struct StepRow<'a> {
    write: &'a HeldWrite,
    step: &'a Step,
    now: DateTime<Utc>,
}

const fn step_columns<'a>() -> [Column<StepRow<'a>>; 24] {
    [
        Column::new("tenant_id", Uuid, |row| row.write.tenant.into()),
        Column::new("run_id", Uuid, |row| row.write.run.into()),
        Column::new("number", Int, |row| i64::from(row.step.number).into()),
        Column::new("kind", Text, |row| row.step.kind.to_value().into()),
        Column::new("status", Text, |row| row.step.status.to_value().into()),
        Column::new("attempt", Int, |row| i64::from(row.write.attempt).into()),
        Column::new("turn", Int, |row| i64::from(row.step.turn).into()),
        Column::new("name", Text, |row| row.step.name.clone().into()),
        Column::optional("tool_id", Uuid, |row| row.step.tool_id.into()),
        Column::optional("call_id", Text, |row| row.step.call_id.clone().into()),
        Column::optional("effect_key", Text, |row| row.step.effect_key.clone().into()),
        Column::optional("request", Json, |row| row.step.request.clone().into()),
        Column::optional("response", Json, |row| row.step.response.clone().into()),
        Column::optional("stop_reason", Text, |row| row.step.stop_reason.clone().into()),
        Column::new("tokens_input", Int, |row| row.step.usage.input.into()),
        Column::new("tokens_cache_read", Int, |row| row.step.usage.cache_read.into()),
        Column::new("tokens_cache_write", Int, |row| row.step.usage.cache_write.into()),
        Column::new("tokens_output", Int, |row| row.step.usage.output.into()),
        Column::new("tokens_reasoning", Int, |row| row.step.usage.reasoning.into()),
        Column::new("cost_nanos", Int, |row| row.step.cost.0.into()),
        Column::new("unpriced", Bool, |row| row.step.unpriced.into()),
        Column::new("latency_ms", Int, |row| {
            i64::try_from(row.step.latency.as_millis()).unwrap_or(i64::MAX).into()
        }),
        Column::new("created_at", Time, |row| row.now.into()),
        Column::optional("completed_at", Time, |row| {
            (row.step.status != StepStatus::Started).then_some(row.now).into()
        }),
    ]
}

/// A finished step is never written again: only an intent (`STARTED`) gets its outcome.
async fn insert_steps(tx: &SystemTx, steps: &[StepRow<'_>]) -> Result<(), DbErr> {
    if steps.is_empty() {
        return Ok(());
    }
    let columns = step_columns();
    let names: Vec<_> = columns.iter().map(Column::name).collect();
    let selected =
        names.join(", ").replace("request,", &format!("{},", tx.dialect().json_or_empty("request")));
    let updated: Vec<_> = names
        .iter()
        .filter(|name| !["tenant_id", "run_id", "number", "created_at", "request"].contains(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let sql = format!(
        "INSERT INTO run_step ({}) SELECT {selected} FROM {} WHERE true \
         ON CONFLICT (tenant_id, run_id, number) DO UPDATE SET {} WHERE run_step.status = 'STARTED'",
        names.join(", "),
        tx.dialect().rows(1, &columns),
        updated.join(", "),
    );
    tx.execute(&sql, tx.dialect().bind(&columns, steps)).await?;
    Ok(())
}
