//! Time. Nothing else in the workspace reads a clock, so that tests drive time by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A UTC clock with microsecond resolution: what both databases can store.
#[derive(Clone)]
pub struct Clock(Inner);

#[derive(Clone)]
enum Inner {
    System(Arc<Anchor>),
    Manual(Arc<AtomicI64>),
}

/// Wall time is an anchor plus monotonic time, so a step of the machine's clock moves nothing;
/// [`Clock::sync`] moves the anchor to the database's clock.
struct Anchor {
    started: Instant,
    base_micros: AtomicI64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn system() -> Self {
        Self(Inner::System(Arc::new(Anchor {
            started: Instant::now(),
            base_micros: AtomicI64::new(Utc::now().timestamp_micros()),
        })))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Inner::Manual(Arc::new(AtomicI64::new(start.timestamp_micros()))))
    }

    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Inner::System(anchor) => {
                let elapsed = i64::try_from(anchor.started.elapsed().as_micros()).unwrap_or(i64::MAX);
                anchor.base_micros.load(Ordering::Relaxed).saturating_add(elapsed)
            }
            Inner::Manual(micros) => micros.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Takes over the database's clock, which decides leases. A manual clock ignores it.
    pub fn sync(&self, database_now: DateTime<Utc>) {
        if let Inner::System(anchor) = &self.0 {
            let elapsed = i64::try_from(anchor.started.elapsed().as_micros()).unwrap_or(i64::MAX);
            let base = database_now.timestamp_micros().saturating_sub(elapsed);
            anchor.base_micros.store(base, Ordering::Relaxed);
        }
    }

    /// Moves a manual clock forward; no effect on the system clock.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual(micros) = &self.0 {
            micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    pub fn after(&self, by: Duration) -> DateTime<Utc> {
        self.now() + TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX)
    }
}
