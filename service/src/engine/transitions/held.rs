//! What the holder of a lease may write: progress, and RUNNING → anything that ends the attempt.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::run_step::StepStatus;
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::{ActiveEnum as _, DbErr};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{array, event};
use crate::db::dialect::time_text;
use crate::db::{Column, ColumnType, Dialect, SystemTx};
use crate::engine::{Progress, Step};

use ColumnType::{Bool, Int, Json as JsonType, Text, Time, Uuid as UuidType};

/// A write under a lease.
#[derive(Clone, Debug)]
pub struct HeldWrite {
    pub tenant: Uuid,
    pub run: Uuid,
    pub attempt: i32,
    pub fence: i64,
    pub progress: Progress,
    /// `None` only adds progress.
    pub change: Option<Change>,
}

/// How the attempt ends.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub to: Option<(RunStatus, RunReason)>,
    pub output: Option<Json>,
    pub error: Option<Json>,
    /// When a requeued run may start again, and where it then stands in its lane.
    pub available: Option<(DateTime<Utc>, i64)>,
    pub wait_until: Option<DateTime<Utc>>,
    /// The attempt failed, and counts towards the retry policy.
    pub failed: bool,
    /// The attempt was given back and does not count.
    pub released: bool,
    pub event_data: Json,
}

/// The run after the write.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub status: RunStatus,
    pub reason: RunReason,
}

const COLUMNS: [Column; 24] = [
    Column("tenant_id", UuidType),
    Column("id", UuidType),
    Column("fence", Int),
    Column("at", Time),
    Column("status", Text),
    Column("reason", Text),
    Column("output", JsonType),
    Column("error", JsonType),
    Column("available_at", Time),
    Column("order_key", Int),
    Column("wait_until", Time),
    Column("failed", Int),
    Column("released", Int),
    Column("changes", Int),
    Column("events", Int),
    Column("last_step", Int),
    Column("tokens_input", Int),
    Column("tokens_cache_read", Int),
    Column("tokens_cache_write", Int),
    Column("tokens_output", Int),
    Column("tokens_reasoning", Int),
    Column("cost_nanos", Int),
    Column("unpriced", Bool),
    Column("ended", Int),
];

fn row(write: &HeldWrite, now: DateTime<Utc>) -> Json {
    let finished = || write.progress.steps.iter().filter(|step| step.status != StepStatus::Started);
    let sum = |field: fn(&Step) -> i64| finished().map(field).sum::<i64>();
    let change = write.change.as_ref();
    let to = change.and_then(|change| change.to);
    let terminal = matches!(to, Some((RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled, _)));
    json!({
        "tenant_id": write.tenant, "id": write.run, "fence": write.fence, "at": time_text(now),
        "status": to.map_or(RunStatus::Running, |to| to.0).to_value(),
        "reason": to.map_or(RunReason::Executing, |to| to.1).to_value(),
        "output": change.and_then(|change| change.output.clone()),
        "error": change.and_then(|change| change.error.clone()),
        "available_at": change.and_then(|change| change.available).map(|available| time_text(available.0)),
        "order_key": change.and_then(|change| change.available).map(|available| available.1),
        "wait_until": change.and_then(|change| change.wait_until).map(time_text),
        "failed": i32::from(change.is_some_and(|change| change.failed)),
        "released": i32::from(change.is_some_and(|change| change.released)),
        "changes": i32::from(to.is_some()), "events": write.progress.events.len(),
        "last_step": write.progress.steps.iter().map(|step| step.number).max().unwrap_or(0),
        "tokens_input": sum(|step| step.usage.input), "tokens_cache_read": sum(|step| step.usage.cache_read),
        "tokens_cache_write": sum(|step| step.usage.cache_write), "tokens_output": sum(|step| step.usage.output),
        "tokens_reasoning": sum(|step| step.usage.reasoning),
        "cost_nanos": finished().map(|step| step.cost).sum::<Nanos>().0,
        "unpriced": finished().any(|step| step.unpriced), "ended": i32::from(terminal),
    })
}

/// A cancel that was asked for turns a requeue or a wait into its end.
const STATUS: &str = "CASE WHEN r.cancel_requested_at IS NOT NULL AND v.status IN ('PENDING', 'WAITING') \
                      THEN 'CANCELLED' ELSE v.status END";

fn statement(dialect: Dialect) -> String {
    let step_count = dialect.greatest("v.last_step", "r.step_count");
    format!(
        "UPDATE task_run AS r SET \
         status = {STATUS}, \
         reason = CASE WHEN v.changes = 0 THEN r.reason WHEN {STATUS} = 'CANCELLED' THEN 'BY_USER' ELSE v.reason END, \
         output = COALESCE(v.output, r.output), \
         error = CASE WHEN v.status = 'COMPLETED' THEN NULL ELSE COALESCE(v.error, r.error) END, \
         lease_owner = CASE WHEN v.changes = 0 THEN r.lease_owner END, \
         lease_expires_at = CASE WHEN v.changes = 0 THEN r.lease_expires_at END, \
         attempt_deadline_at = CASE WHEN v.changes = 0 THEN r.attempt_deadline_at END, \
         available_at = COALESCE(v.available_at, r.available_at), \
         order_key = COALESCE(v.order_key, r.order_key), \
         queued_at = CASE WHEN {STATUS} = 'PENDING' THEN v.at ELSE r.queued_at END, \
         queue_expires_at = CASE WHEN {STATUS} = 'PENDING' THEN {next_start} ELSE r.queue_expires_at END, \
         wait_until = CASE WHEN {STATUS} = 'WAITING' THEN v.wait_until END, \
         waiting_since = CASE WHEN {STATUS} = 'WAITING' THEN v.at END, \
         completed_at = CASE WHEN v.ended = 1 OR {STATUS} = 'CANCELLED' THEN v.at END, \
         failures = r.failures + v.failed, \
         lost_count = CASE WHEN v.last_step > r.step_count THEN 0 ELSE r.lost_count END, \
         attempt = r.attempt - v.released, \
         event_seq = r.event_seq + v.events + v.changes, \
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
         WHERE r.tenant_id = v.tenant_id AND r.id = v.id AND r.status = 'RUNNING' AND r.fence = v.fence \
         AND r.lease_expires_at > v.at \
         {returning}",
        next_start = dialect.greatest(
            "r.queue_expires_at",
            &dialect.after_seconds("COALESCE(v.available_at, v.at)", super::NEXT_START)
        ),
        rows = dialect.rows(1, &COLUMNS),
        returning = dialect.returning_of("r"),
    )
}

/// Applies the writes whose leases are still held, at most one a run, with their steps and events.
/// A write that is not in the answer changed nothing: its lease is lost.
pub async fn write(
    tx: &SystemTx,
    writes: &[HeldWrite],
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, Written>, DbErr> {
    let sql = statement(tx.dialect());
    let rows = writes.iter().map(|write| row(write, now)).collect();
    let mut written = HashMap::with_capacity(writes.len());
    let mut last_seq: HashMap<Uuid, i64> = HashMap::with_capacity(writes.len());
    for found in tx.query(&sql, vec![array(rows)]).await? {
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
            if let (Json::Object(data), Json::Object(more)) = (&mut data, &change.event_data) {
                data.extend(more.clone());
            }
            events.push(event(write.tenant, write.run, *last, event_kind(after.status, change), data, now));
        }
        steps.extend(write.progress.steps.iter().map(|step| step_row(write, step, now)));
    }
    insert_steps(tx, steps).await?;
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
        RunStatus::Pending | RunStatus::Running => "run.released",
    }
}

const STEP_COLUMNS: [Column; 24] = [
    Column("tenant_id", UuidType),
    Column("run_id", UuidType),
    Column("number", Int),
    Column("kind", Text),
    Column("status", Text),
    Column("attempt", Int),
    Column("turn", Int),
    Column("name", Text),
    Column("tool_id", UuidType),
    Column("call_id", Text),
    Column("effect_key", Text),
    Column("request", JsonType),
    Column("response", JsonType),
    Column("stop_reason", Text),
    Column("tokens_input", Int),
    Column("tokens_cache_read", Int),
    Column("tokens_cache_write", Int),
    Column("tokens_output", Int),
    Column("tokens_reasoning", Int),
    Column("cost_nanos", Int),
    Column("unpriced", Bool),
    Column("latency_ms", Int),
    Column("created_at", Time),
    Column("completed_at", Time),
];

fn step_row(write: &HeldWrite, step: &Step, now: DateTime<Utc>) -> Json {
    json!({
        "tenant_id": write.tenant, "run_id": write.run, "number": step.number, "kind": step.kind.to_value(),
        "status": step.status.to_value(), "attempt": write.attempt, "turn": step.turn, "name": step.name,
        "tool_id": step.tool_id, "call_id": step.call_id, "effect_key": step.effect_key,
        "request": step.request, "response": step.response, "stop_reason": step.stop_reason,
        "tokens_input": step.usage.input, "tokens_cache_read": step.usage.cache_read,
        "tokens_cache_write": step.usage.cache_write, "tokens_output": step.usage.output,
        "tokens_reasoning": step.usage.reasoning, "cost_nanos": step.cost.0, "unpriced": step.unpriced,
        "latency_ms": i64::try_from(step.latency.as_millis()).unwrap_or(i64::MAX), "created_at": time_text(now),
        "completed_at": (step.status != StepStatus::Started).then(|| time_text(now)),
    })
}

/// A finished step is never written again: only an intent (`STARTED`) gets its outcome.
async fn insert_steps(tx: &SystemTx, steps: Vec<Json>) -> Result<(), DbErr> {
    if steps.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = STEP_COLUMNS.iter().map(|column| column.0).collect();
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
        tx.dialect().rows(1, &STEP_COLUMNS),
        updated.join(", "),
    );
    tx.execute(&sql, vec![array(steps)]).await?;
    Ok(())
}
