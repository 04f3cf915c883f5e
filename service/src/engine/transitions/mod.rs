//! The only place that changes a run's status. Each transition is one statement whose WHERE holds
//! its full precondition; what it returns is what happened.
//!
//! Invariants: a terminal status is written once; RUNNING has a lease and no other status does; a
//! write under a lease matches its fence and happens before the lease expires.

mod create;
mod held;
mod recover;
mod request;
mod start;

pub use create::{Born, NewRun, create};
pub use held::{Change, HeldWrite, Written, write};
pub use recover::{BATCH, expire_leases, expire_queue, expire_waits, force_cancels, release_node};
pub use request::{
    CancelOutcome, cancel, close_questions, is_decided, lock, reopen_questions, retry, satisfy_if_answered,
};
pub use start::{claim_lane, renew};

use chrono::{DateTime, Utc};
use entity::tasks::run_event;
use sea_orm::{DbErr, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::db::dialect::time_text;
use crate::db::{Column, ColumnType, Dialect, SystemTx};

/// How many seconds of waiting one point of priority is worth, so that nothing starves.
const SECONDS_PER_PRIORITY: i64 = 30;
const LOWEST_PRIORITY: i32 = -100;
/// How long a run that was queued again may wait for its next start, in seconds.
const NEXT_START: &str = "86400";
/// Executors that may vanish, one after the other and without a new step, before a run fails with
/// `WORKER_LOST`.
pub const MOST_LOST: i32 = 3;

/// Where a run stands in its lane: earlier first, in microseconds.
pub fn order_key(available_at: DateTime<Utc>, priority: i32) -> i64 {
    available_at.timestamp_micros() - i64::from(priority) * SECONDS_PER_PRIORITY * 1_000_000
}

const EVENT_COLUMNS: [Column; 6] = [
    Column("tenant_id", ColumnType::Uuid),
    Column("run_id", ColumnType::Uuid),
    Column("seq", ColumnType::Int),
    Column("type", ColumnType::Text),
    Column("data", ColumnType::Json),
    Column("created_at", ColumnType::Time),
];

/// Appends events whose sequence numbers were reserved on their runs.
pub async fn append_events(tx: &SystemTx, events: &[run_event::Model]) -> Result<(), DbErr> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<Json> = events
        .iter()
        .map(|event| {
            json!({
                "tenant_id": event.tenant_id, "run_id": event.run_id, "seq": event.seq, "type": event.kind,
                "data": event.data, "created_at": time_text(event.created_at),
            })
        })
        .collect();
    let sql = format!(
        "INSERT INTO run_event (tenant_id, run_id, seq, type, data, created_at) \
         SELECT tenant_id, run_id, seq, type, data, created_at FROM {}",
        tx.dialect().rows(1, &EVENT_COLUMNS)
    );
    tx.execute(&sql, vec![array(rows)]).await?;
    Ok(())
}

/// One entry of a run's timeline.
pub fn event(
    tenant: Uuid,
    run: Uuid,
    seq: i64,
    kind: &str,
    data: Json,
    at: DateTime<Utc>,
) -> run_event::Model {
    run_event::Model { tenant_id: tenant, run_id: run, seq, kind: kind.to_owned(), data, created_at: at }
}

/// How long a WAITING run has waited at `now`, in milliseconds.
fn waited(dialect: Dialect, now: &str) -> String {
    dialect.greatest("0", &dialect.millis_between("waiting_since", now))
}

/// The end of a run's total time, moved by the time it waited for people.
fn shifted_deadline(dialect: Dialect, now: &str) -> String {
    dialect.after_seconds("deadline_at", &format!("{} / 1000.0", waited(dialect, now)))
}

/// Rows as the one JSON parameter of a statement. PostgreSQL cannot store NUL, which a model or a tool
/// may send: it becomes U+FFFD, so that one run's text does not fail the commit of others.
fn array(rows: Vec<Json>) -> Value {
    let text = Json::Array(rows).to_string();
    if text.contains("\\u0000") { without_nul(&text).into() } else { text.into() }
}

/// The value without NUL, for statements that bind it by itself.
pub fn storable(value: Json) -> Json {
    let text = value.to_string();
    if text.contains("\\u0000") {
        serde_json::from_str(&without_nul(&text)).unwrap_or_default()
    } else {
        value
    }
}

/// Replaces escaped NULs, but not an escaped backslash that is followed by `u0000`.
fn without_nul(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        let (kept, length) = match escape.as_bytes() {
            [_, b'u', b'0', b'0', b'0', b'0', ..] => ("\\ufffd", 6),
            _ => (escape.get(..2).unwrap_or(escape), 2.min(escape.len())),
        };
        clean.push_str(kept);
        rest = escape.get(length..).unwrap_or_default();
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_and_what_looks_like_it_is_kept() {
        let value = json!(["a\u{0}b", "\\u0000", "\\\u{0}", "plain"]);
        let clean: Json = serde_json::from_str(&without_nul(&value.to_string())).unwrap();
        assert_eq!(clean, json!(["a\u{fffd}b", "\\u0000", "\\\u{fffd}", "plain"]));
    }
}
