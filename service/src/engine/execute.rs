//! Runs one claimed run to the end of its attempt and commits that end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use entity::tasks::task_run::{self, RunReason, RunStatus};
use futures_util::FutureExt as _;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::finish::ending;
use super::leased::LeasedAttempt;
use super::{Attempt as _, Engine, Executor, Outcome, Place, Progress, RunError, Stop};
use crate::core::Core;
use crate::error::Error;

/// How long an executor that was told to stop may take to end by itself.
const GRACE: Duration = Duration::from_millis(1_500);
/// How long it may take while the node drains: less than the node waits, so that it can be given back.
const DRAIN: Duration = Duration::from_secs(25);
/// Model text is stored at most ten times a second.
const TEXT_INTERVAL: Duration = Duration::from_millis(100);

pub async fn execute(core: Core, run: task_run::Model, attempt: LeasedAttempt, executor: Arc<dyn Executor>) {
    let span = tracing::debug_span!(
        "attempt",
        run.id = %run.id,
        tenant.id = %run.tenant_id,
        run.attempt = run.attempt,
        run.outcome = Empty,
    );
    let outcome = outcome(&attempt, executor.as_ref()).instrument(span.clone()).await;
    let status = settle(&core, &run, &attempt, outcome).await;
    span.record("run.outcome", label(status));
    core.engine.leases().give_back(attempt.lease());
}

/// Commits the end of an attempt, with the children that it starts. `None` when its lease is no longer held.
pub async fn settle(
    core: &Core,
    run: &task_run::Model,
    attempt: &LeasedAttempt,
    outcome: Outcome,
) -> Option<RunStatus> {
    let engine = &core.engine;
    let (outcome, places) = admit(engine, run, outcome).await;
    let started = needs(&outcome);
    let written = match ending(run, outcome, core.clock.now(), &core.ids) {
        Some(ending) => {
            let mut write = attempt.held(ending.progress);
            write.change = Some(ending.change);
            engine.write(write, ending.awaited).await.ok()
        }
        None => None,
    };
    let status = written.map(|written| written.status);
    if status == Some(RunStatus::Waiting) {
        places.into_iter().for_each(|place| place.keep(RunStatus::Pending));
        started.iter().for_each(|capability| engine.callers().call(run.tenant_id, capability));
    }
    ended(status);
    status
}

/// What workers must offer to execute the children that the outcome starts.
fn needs(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Delegated { spawn, .. } => {
            spawn.children.iter().filter_map(|child| child.capability.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// Counts the end of an attempt; `None` of one that had lost its lease.
pub fn ended(status: Option<RunStatus>) {
    metrics::counter!("engine_attempts_total", "status" => label(status)).increment(1);
}

/// Places for the children that the outcome starts, within the limits of the tenant.
async fn admit(engine: &Engine, run: &task_run::Model, outcome: Outcome) -> (Outcome, Vec<Place>) {
    let Outcome::Delegated { spawn, progress } = outcome else { return (outcome, Vec::new()) };
    let mut places = Vec::with_capacity(spawn.children.len());
    for _ in &spawn.children {
        match engine.admission().place(run.tenant_id).await {
            Ok(place) => places.push(place),
            Err(error) => {
                let error = no_place(error);
                return (Outcome::Failed { error, progress }, Vec::new());
            }
        }
    }
    (Outcome::Delegated { spawn, progress }, places)
}

/// A month that is used up is final; a full queue is not.
fn no_place(error: Error) -> RunError {
    let (code, retry_after) = match &error {
        Error::Denied { code, .. } => (*code, None),
        Error::RateLimited { code, retry_after } | Error::Unavailable { code, retry_after } => {
            (*code, Some(*retry_after))
        }
        _ => ("internal", Some(Duration::ZERO)),
    };
    RunError {
        reason: if retry_after.is_some() { RunReason::Error } else { RunReason::NonRetryable },
        code: code.to_owned(),
        message: match &error {
            Error::Internal(_) => defect().message,
            told => told.to_string(),
        },
        retryable: retry_after.is_some(),
        retry_after,
    }
}

async fn outcome(attempt: &LeasedAttempt, executor: &dyn Executor) -> Outcome {
    let work = AssertUnwindSafe(executor.execute(attempt)).catch_unwind();
    tokio::pin!(work);
    let told = async {
        let stop = attempt.until_stopped().await;
        if stop != Stop::Draining {
            tokio::time::sleep(GRACE).await;
            return stop;
        }
        // While the node drains, a cancel or a time-out still counts at once.
        tokio::select! {
            () = tokio::time::sleep(DRAIN) => stop,
            more = attempt.lease().until_more_than(Stop::Draining) => {
                tokio::time::sleep(GRACE).await;
                more
            }
        }
    };
    tokio::pin!(told);
    let mut text = tokio::time::interval(TEXT_INTERVAL);
    text.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    text.reset();
    loop {
        tokio::select! {
            biased;
            done = &mut work => return match done {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Failed { error: defect(), progress: Progress::default() },
            },
            stop = &mut told => return forced(stop),
            _ = text.tick() => {
                // A lost lease is noticed through `stopped`.
                let _ = attempt.flush_text().await;
            }
        }
    }
}

/// The end of an attempt whose executor did not stop by itself.
fn forced(stop: Stop) -> Outcome {
    let progress = Progress::default();
    match stop {
        Stop::Cancelled => Outcome::Cancelled { progress },
        Stop::TimedOut => Outcome::Failed { error: RunError::timed_out(), progress },
        Stop::Stalled => Outcome::Failed { error: RunError::stalled(), progress },
        Stop::LeaseLost => Outcome::LeaseLost,
        Stop::Draining => Outcome::Released { progress },
    }
}

fn defect() -> RunError {
    RunError {
        reason: RunReason::Error,
        code: "internal".to_owned(),
        message: "The executor failed; the cause is in the operator's log.".to_owned(),
        retryable: true,
        retry_after: None,
    }
}

fn label(status: Option<RunStatus>) -> &'static str {
    match status {
        None => "lease_lost",
        Some(RunStatus::Pending) => "requeued",
        Some(RunStatus::Running) => "running",
        Some(RunStatus::Waiting) => "waiting",
        Some(RunStatus::Completed) => "completed",
        Some(RunStatus::Failed) => "failed",
        Some(RunStatus::Cancelled) => "cancelled",
    }
}
