//! Racing work against everything that ends an attempt.
//!
//! Invariant: no external call outlives a cancel, a lost lease or the deadline.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::engine::{Attempt, Stop};

/// How often a draining attempt looks for a stronger reason to stop.
const DRAIN_POLL: Duration = Duration::from_millis(250);

/// The result of `work`, unless the attempt has to stop first. Draining lets it finish.
pub(super) async fn unless_stopped<T>(
    attempt: &dyn Attempt,
    deadline: DateTime<Utc>,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let (work, halted) = (pin!(work), pin!(halted(attempt)));
    tokio::select! {
        biased;
        result = work => Ok(result),
        stop = halted => Err(stop),
        () = tokio::time::sleep(remaining(attempt, deadline)) => Err(Stop::TimedOut),
    }
}

/// Waits, unless the attempt has to stop for any reason.
pub(super) async fn pause(
    attempt: &dyn Attempt,
    deadline: DateTime<Utc>,
    duration: Duration,
) -> Result<(), Stop> {
    let wait = duration.min(remaining(attempt, deadline));
    tokio::select! {
        biased;
        stop = attempt.until_stopped() => Err(stop),
        () = tokio::time::sleep(wait) => if wait < duration { Err(Stop::TimedOut) } else { Ok(()) },
    }
}

/// The time until `deadline`, zero when it has passed.
pub(super) fn remaining(attempt: &dyn Attempt, deadline: DateTime<Utc>) -> Duration {
    (deadline - attempt.core().clock.now()).to_std().unwrap_or_default()
}

async fn halted(attempt: &dyn Attempt) -> Stop {
    let mut stop = attempt.until_stopped().await;
    while stop == Stop::Draining {
        tokio::time::sleep(DRAIN_POLL).await;
        stop = attempt.stopped().unwrap_or(stop);
    }
    stop
}
