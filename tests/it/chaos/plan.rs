//! What is done to a node and when. The same seed plans the same faults; where they fall in the work that goes on
//! is decided by the machine as well.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::dice::Dice;
use crate::support::Backend;

/// Short, so that a stopped node's runs are taken over soon.
pub const LEASE: Duration = Duration::from_secs(3);

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// So many faults of each node.
    Faults(usize),
    Until(DateTime<Utc>),
}

impl Extent {
    pub fn is_over(self, done: usize, now: DateTime<Utc>) -> bool {
        match self {
            Self::Faults(most) => done >= most,
            Self::Until(end) => now >= end,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// It happens when so much more was asked of the model server, and then this much later: to fall between
    /// any two moments.
    pub moments: u64,
    pub later: Duration,
    pub kind: FaultKind,
}

#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// SIGKILL; the node starts again after so many moments.
    Kill { away: u64 },
    /// SIGSTOP, and SIGCONT after this long: within a lease, or beyond it.
    Stop(Duration),
    /// The database server ends every connection, so that commits are in doubt.
    Cut,
}

/// The faults of one node, without end.
pub struct Plan {
    dice: Dice,
    backend: Backend,
}

impl Plan {
    pub fn new(dice: Dice, backend: Backend) -> Self {
        Self { dice, backend }
    }
}

impl Iterator for Plan {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        let moments = self.dice.between(10, 150);
        let later = Duration::from_micros(self.dice.below(20_000));
        let kind = match (self.dice.below(100), self.backend) {
            (0..10, Backend::Postgres) => FaultKind::Cut,
            (0..55, _) => FaultKind::Kill { away: self.dice.below(60) },
            _ if self.dice.percent(40) => FaultKind::Stop(Duration::from_millis(self.dice.between(20, 900))),
            _ => FaultKind::Stop(LEASE + Duration::from_millis(self.dice.between(100, 1_500))),
        };
        Some(Fault { moments, later, kind })
    }
}
