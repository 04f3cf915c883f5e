//! The only place that changes a run's status. Each transition is one statement whose WHERE holds
//! its full precondition; what it returns is what happened.
//!
//! Invariants: a terminal status is written once; RUNNING has a lease and no other status does; a
//! write under a lease matches its fence and happens before the lease expires. What the end of a run means
//! for others of its tree is done with it, in [`tree`].

mod create;
mod held;
mod hold;
mod keys;
mod queue;
mod recover;
mod request;
mod start;
pub mod tree;
mod wait;

pub use create::{Born, NewRun, create};
pub use held::{Change, HeldWrite, Seen, Written, write};
pub use hold::{end_release, hold, release_held};
pub use keys::{
    Admitted, admit, admit_all, decide, forget_dedupe_keys, free_slots, key_limit, live_duplicate,
    show_blocked,
};
pub use queue::{Queue, Workspaces, taken_by};
pub use recover::{
    BATCH, expire_leases, expire_queue, expire_waits, force_cancels, is_quarantined, raise_fences,
    release_node,
};
pub use request::{CancelOutcome, cancel, is_decided, retry};
pub use start::{claim_queue, renew};
pub use tree::{Ended, Ripple, Spawn, Wake};
pub use wait::{
    Answer, Resumed, answer, close_questions, expire_questions, expire_timers, lock, reopen_questions,
    satisfy, satisfy_if_answered,
};

use chrono::{DateTime, Utc};
use entity::tasks::run_event;
use request::undecided;
use sea_orm::DbErr;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::db::{Column, Dialect, Kind, SystemTx};

/// How many seconds of waiting one point of priority is worth, so that nothing starves.
const SECONDS_PER_PRIORITY: i64 = 30;
const LOWEST_PRIORITY: i32 = -100;
/// How long a run that was queued again may wait for its next start, in seconds.
const NEXT_START: &str = "86400";
/// Executors that may vanish, one after the other and without a new step, before a run fails with
/// `WORKER_LOST`.
pub const MOST_LOST: i32 = 3;
/// From so many on, one such run at a time executes at an executor: who takes it down is known then.
pub const SUSPECT: i32 = MOST_LOST - 1;

/// Where a run stands in its lane: earlier first, in microseconds.
pub fn order_key(available_at: DateTime<Utc>, priority: i32) -> i64 {
    available_at.timestamp_micros() - i64::from(priority) * SECONDS_PER_PRIORITY * 1_000_000
}

const EVENT_COLUMNS: [Column<run_event::Model>; 6] = [
    Column::new("tenant_id", Kind::Uuid, |event| event.tenant_id.into()),
    Column::new("run_id", Kind::Uuid, |event| event.run_id.into()),
    Column::new("seq", Kind::Int, |event| event.seq.into()),
    Column::new("type", Kind::Text, |event| event.kind.clone().into()),
    Column::new("data", Kind::Json, |event| event.data.clone().into()),
    Column::new("created_at", Kind::Time, |event| event.created_at.into()),
];

/// Appends events whose sequence numbers were reserved on their runs.
pub async fn append_events(tx: &SystemTx, events: &[run_event::Model]) -> Result<(), DbErr> {
    if events.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO run_event (tenant_id, run_id, seq, type, data, created_at, position) \
         SELECT tenant_id, run_id, seq, type, data, created_at, {} FROM {}",
        tx.dialect().event_position(),
        tx.dialect().rows(1, &EVENT_COLUMNS)
    );
    tx.execute(&sql, tx.dialect().bind(&EVENT_COLUMNS, events)).await?;
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
    let kind = kind.to_owned();
    run_event::Model { tenant_id: tenant, run_id: run, seq, kind, data, created_at: at, position: 0 }
}

/// That a run which its key finds has the status, in words that no partial index answers to: while few runs
/// are live, the planner would rather read such an index whole for each row.
fn is(status: &str) -> String {
    format!("status IN ('{status}', '')")
}

/// How long a WAITING run has waited at `now`, in milliseconds.
fn waited(dialect: Dialect, now: &str) -> String {
    dialect.greatest("0", &dialect.millis_between("waiting_since", now))
}

/// The end of a run's total time, moved by the time it waited for people.
fn shifted_deadline(dialect: Dialect, now: &str) -> String {
    dialect.after_seconds("deadline_at", &format!("{} / 1000.0", waited(dialect, now)))
}
