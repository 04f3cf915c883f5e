//! The durable run engine: claim, lease, dispatch, retry, timers, recovery.

mod attempt;
pub mod policy;
mod transitions;

use std::time::Duration;

use crate::clock::Clock;
use crate::db::Db;
use crate::ids::Ids;

pub use attempt::{Attempt, Event, Executor, LeaseLost, Outcome, Progress, Question, RunError, Step, Stop};

/// How this node executes runs.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How many runs this node executes at once; 0 executes none.
    pub concurrency: usize,
    pub lease: Duration,
    pub heartbeat: Duration,
    pub sweep: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            concurrency: 64,
            lease: Duration::from_secs(60),
            heartbeat: Duration::from_secs(20),
            sweep: Duration::from_secs(5),
        }
    }
}

#[derive(Clone)]
pub struct Engine;

impl Engine {
    pub fn new(_db: Db, _clock: Clock, _ids: Ids, _settings: EngineSettings) -> Self {
        Self
    }
}
