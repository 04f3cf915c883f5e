//! What the callers did and were told, kept to be held against the database.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;
use uuid::Uuid;

#[derive(Default)]
pub struct History(Mutex<Record>);

#[derive(Default)]
pub struct Record {
    pub creations: Vec<Creation>,
    pub wishes: Vec<Wish>,
    pub seen: Vec<Seen>,
    /// The dedupe ids of events that were acknowledged.
    pub events: Vec<String>,
    /// Batches whose start was acknowledged.
    pub batches: Vec<Uuid>,
    /// Answers that say that something is wrong, whatever the database says.
    pub wrong: Vec<String>,
    /// What was answered or not, by operation.
    pub answers: BTreeMap<String, u64>,
}

/// A run that was asked for, once or again with the same `Idempotency-Key`.
pub struct Creation {
    /// Stands in the run's metadata.
    pub case: String,
    pub dedupe_key: Option<String>,
    /// The ids that were answered.
    pub acknowledged: Vec<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Cancel,
    Retry,
}

/// A change of a run that was asked for.
pub struct Wish {
    pub run: Uuid,
    pub verb: Verb,
    /// `None` when nobody knows whether it happened.
    pub granted: Option<bool>,
}

/// A run that was read when it had ended.
#[derive(Clone)]
pub struct Seen {
    pub run: Uuid,
    pub status: String,
    pub view: Value,
}

impl History {
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap()
    }

    pub fn count(&self, operation: &str, answer: &str) {
        *self.record().answers.entry(format!("{operation} {answer}")).or_default() += 1;
    }

    /// What a view says about a run that has ended.
    pub fn see(&self, view: &Value) {
        let status = view["status"].as_str().unwrap_or_default();
        if let ("COMPLETED" | "FAILED" | "CANCELLED", Some(run)) = (status, id(view)) {
            let seen = Seen { run, status: status.to_owned(), view: view.clone() };
            self.record().seen.push(seen);
        }
    }
}

impl Record {
    /// Runs that were acknowledged lately.
    pub fn recent(&self) -> Vec<Uuid> {
        self.creations
            .iter()
            .rev()
            .filter_map(|creation| creation.acknowledged.first())
            .take(12)
            .copied()
            .collect()
    }

    /// Runs that were seen to have failed or to be cancelled.
    pub fn retryable(&self) -> Vec<Uuid> {
        let ended = self.seen.iter().rev().take(60);
        ended.filter(|seen| seen.status != "COMPLETED").map(|seen| seen.run).collect()
    }
}

pub fn id(view: &Value) -> Option<Uuid> {
    view["id"].as_str()?.parse().ok()
}
