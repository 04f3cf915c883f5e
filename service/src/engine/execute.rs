//! Runs one claimed run to the end of its attempt and commits that end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use entity::tasks::task_run::{self, RunReason};
use futures_util::FutureExt as _;

use super::finish::ending;
use super::leased::LeasedAttempt;
use super::{Attempt as _, Executor, Outcome, Progress, RunError, Stop};
use crate::core::Core;

/// How long an executor that was told to stop may take to end by itself.
const GRACE: Duration = Duration::from_millis(1_500);
/// How long it may take while the node drains: less than the node waits, so that it can be given back.
const DRAIN: Duration = Duration::from_secs(25);
/// Model text is stored at most ten times a second.
const TEXT_INTERVAL: Duration = Duration::from_millis(100);

pub async fn execute(core: Core, run: task_run::Model, attempt: LeasedAttempt, executor: Arc<dyn Executor>) {
    let outcome = outcome(&attempt, executor.as_ref()).await;
    settle(&core, &run, &attempt, outcome).await;
    core.engine.leases().give_back(attempt.lease());
}

/// Commits the end of an attempt, if its lease is still held.
pub async fn settle(core: &Core, run: &task_run::Model, attempt: &LeasedAttempt, outcome: Outcome) {
    let written = match ending(run, outcome, core.clock.now(), &core.ids) {
        Some(ending) => {
            let mut write = attempt.held(ending.progress);
            write.change = Some(ending.change);
            core.engine.committer().write(write, ending.questions).await.ok()
        }
        None => None,
    };
    ended(written.map(|written| written.status));
}

/// Counts the end of an attempt; `None` of one that had lost its lease.
pub fn ended(status: Option<task_run::RunStatus>) {
    let status = status.map_or("lease_lost", label);
    metrics::counter!("engine_attempts_total", "status" => status).increment(1);
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

fn label(status: task_run::RunStatus) -> &'static str {
    match status {
        task_run::RunStatus::Pending => "requeued",
        task_run::RunStatus::Running => "running",
        task_run::RunStatus::Waiting => "waiting",
        task_run::RunStatus::Completed => "completed",
        task_run::RunStatus::Failed => "failed",
        task_run::RunStatus::Cancelled => "cancelled",
    }
}
