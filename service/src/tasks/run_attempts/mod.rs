//! What a worker says of an attempt that it was given: events, and how it ended. It is written as an attempt of
//! this process is, by the same commands of the group commit, under the same fence.
//!
//! Invariants: a call whose lease is over changes nothing and is 409 `lease_lost`; the same call again, after
//! its answer was lost, is answered like the first; what two calls of one attempt write at once is written one
//! after the other, so that no step's cost is counted without its step.

mod ends;
mod events;
pub mod lease_tokens;
mod suspend;
mod usage;

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{self, RunStatus};
use uuid::Uuid;

use self::lease_tokens::LeaseToken;
use super::task_runs;
use crate::core::Core;
use crate::ctx::Ctx;
use crate::engine::transitions::{Change, HeldWrite, Seen, Written};
use crate::engine::{Awaited, Progress};
use crate::error::{Error, Result};

pub use ends::{
    AttemptEnded, CompleteAttempt, FailAttempt, FailAttemptError, ReleaseAttempt, complete, fail, release,
};
pub use events::{
    AddAttemptEvents, AttemptEvent, AttemptEventType, AttemptState, AttemptStateView, add_events,
};
pub use suspend::{AttemptWait, AttemptWaitKind, SuspendAttempt, suspend};
pub use usage::ReportedUsage;

/// So often is a write made anew that another call of the attempt came before.
const TRIES: usize = 8;
/// What waits for a database that does not commit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A run whose attempt the caller was given, as it was read.
struct Held {
    run: task_run::Model,
    token: LeaseToken,
    call: &'static str,
    /// Writes that another call came before.
    tries: usize,
}

/// What one call writes.
#[derive(Default)]
struct Report {
    progress: Progress,
    change: Option<Change>,
    awaited: Awaited,
    client_seq: Option<i64>,
}

impl Held {
    /// # Errors
    /// 404 when the caller sees no such run; 409 `lease_lost` when the token was not given out for this attempt.
    async fn load(ctx: &Ctx, run: Uuid, attempt: i32, token: &str, call: &'static str) -> Result<Self> {
        let run = task_runs::load(ctx, run).await?;
        let token = LeaseToken::open(&ctx.core, ctx.tenant, run.id, token)?;
        match token.filter(|token| token.attempt == attempt) {
            Some(token) => Ok(Self { run, token, call, tries: 0 }),
            None => Err(lost(call)),
        }
    }

    fn is_live(&self, now: DateTime<Utc>) -> bool {
        holds(&self.run, &self.token, now)
    }

    /// Writes what was made of the run as it was read. `None` where another call of the attempt came between:
    /// then it is read anew, and the report has to be made anew.
    async fn commit(&mut self, ctx: &Ctx, report: Report) -> Result<Option<Written>> {
        if !self.is_live(ctx.core.clock.now()) {
            return Err(lost(self.call));
        }
        let Report { progress, change, awaited, client_seq } = report;
        let write = HeldWrite {
            tenant: ctx.tenant,
            run: self.run.id,
            attempt: self.token.attempt,
            fence: self.token.fence,
            parent: self.run.parent_run_id,
            has_children: self.run.children > 0,
            progress,
            change,
            seen: Seen { event_seq: Some(self.run.event_seq), client_seq },
        };
        if let Ok(written) = ctx.core.engine.write(write, awaited).await {
            return Ok(Some(written));
        }
        let now = task_runs::load(ctx, self.run.id).await?;
        let is_same = now.event_seq == self.run.event_seq;
        self.run = now;
        self.tries += 1;
        if !self.is_live(ctx.core.clock.now()) {
            return Err(lost(self.call));
        }
        if is_same {
            return Err(Error::Unavailable { code: "database_busy", retry_after: RETRY_AFTER });
        }
        if self.tries >= TRIES {
            let message = "Other calls of this attempt came first, again and again.";
            return Err(Error::conflict("concurrent_update", message));
        }
        Ok(None)
    }
}

/// Whether the token's lease is the one that the run is under.
pub(super) fn holds(run: &task_run::Model, token: &LeaseToken, now: DateTime<Utc>) -> bool {
    run.status == RunStatus::Running
        && run.fence == token.fence
        && run.lease_owner == Some(token.worker)
        && run.lease_expires_at.is_some_and(|until| until > now)
}

/// The answer to who no longer holds the lease; counted, because each is a write that fencing kept out.
fn lost(call: &'static str) -> Error {
    metrics::counter!("worker_stale_calls_total", "call" => call).increment(1);
    Error::conflict(
        "lease_lost",
        "The lease on this attempt is over: nothing was written. Stop working on it.",
    )
}

/// What a worker shows for a claimed run.
pub(super) fn token(core: &Core, run: &task_run::Model, worker: Uuid) -> Result<String> {
    LeaseToken { tenant: run.tenant_id, run: run.id, worker, attempt: run.attempt, fence: run.fence }
        .seal(core)
}
