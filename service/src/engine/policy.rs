//! What a run carries with it: how it is retried, how long it may take, what its output must be.

use std::time::Duration;

use chrono::TimeDelta;
use entity::money::Nanos;
use entity::tasks::approval::OnExpire;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use crate::agents::RunLimits;
use crate::ids::Ids;
use crate::tasks::graph::RunGraph;

/// Times out after which a run or an attempt fails, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// How long the run may wait for its first start before it fails with `EXPIRED`.
    #[validate(range(min = 1, max = 2_592_000))]
    #[schema(minimum = 1, maximum = 2_592_000, default = 86_400)]
    pub queue_seconds: u32,
    /// How long one attempt may take.
    #[validate(range(min = 1, max = 86_400))]
    #[schema(minimum = 1, maximum = 86_400, default = 600)]
    pub attempt_seconds: u32,
    /// How long all attempts together may take, from the first start; waiting for people does not count.
    #[validate(range(min = 1, max = 2_592_000))]
    #[schema(minimum = 1, maximum = 2_592_000, default = 3_600)]
    pub total_seconds: u32,
    /// How long an attempt may write no step and no event, not even a piece of model text, before it fails
    /// as one that `TIMED_OUT`; unlimited when absent.
    #[validate(range(min = 1, max = 86_400))]
    #[schema(minimum = 1, maximum = 86_400)]
    pub no_progress_seconds: Option<u32>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { queue_seconds: 86_400, attempt_seconds: 600, total_seconds: 3_600, no_progress_seconds: None }
    }
}

/// How the delay grows from one retry to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Backoff {
    Fixed,
    Linear,
    #[default]
    Exponential,
}

/// When a failed attempt is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    #[validate(range(min = 1, max = 100))]
    #[schema(minimum = 1, maximum = 100, default = 3)]
    pub max_attempts: u32,
    pub backoff: Backoff,
    /// The delay before the first retry, in milliseconds.
    #[validate(range(min = 0, max = 3_600_000))]
    #[schema(maximum = 3_600_000, default = 5_000)]
    pub base_ms: u64,
    /// No delay is longer, in milliseconds.
    #[validate(range(min = 0, max = 86_400_000))]
    #[schema(maximum = 86_400_000, default = 600_000)]
    pub cap_ms: u64,
    /// When not empty, only errors with these codes are tried again.
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    pub retry_on: Vec<String>,
    /// Errors with these codes are never tried again.
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    pub never_on: Vec<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::Exponential,
            base_ms: 5_000,
            cap_ms: 600_000,
            retry_on: Vec::new(),
            never_on: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// Whether an error with this code may be tried again after `failures` failed attempts.
    pub fn allows(&self, code: &str, failures: u32) -> bool {
        let listed = |list: &[String]| list.iter().any(|entry| entry == code);
        failures < self.max_attempts
            && !listed(&self.never_on)
            && (self.retry_on.is_empty() || listed(&self.retry_on))
    }

    /// The delay after the given number of failures: full jitter below min(cap, base·2ⁿ)
    /// (AWS Architecture Blog, "Exponential Backoff and Jitter"), and never below `at_least`.
    pub fn delay(&self, failures: u32, at_least: Option<Duration>, ids: &Ids) -> Duration {
        let step = failures.saturating_sub(1);
        let ceiling = match self.backoff {
            Backoff::Fixed => self.base_ms,
            Backoff::Linear => self.base_ms.saturating_mul(u64::from(step) + 1),
            Backoff::Exponential => {
                self.base_ms.saturating_mul(1_u64.checked_shl(step.min(40)).unwrap_or(u64::MAX))
            }
        }
        .min(self.cap_ms);
        let jittered = match self.backoff {
            Backoff::Exponential => ids.below(ceiling.saturating_add(1)),
            Backoff::Fixed | Backoff::Linear => ceiling,
        };
        let longest = Duration::from_millis(self.cap_ms.max(600_000));
        Duration::from_millis(jittered).max(at_least.unwrap_or_default().min(longest))
    }
}

/// A person approves the call of a tool's run before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallApproval {
    /// How long people have to decide.
    #[validate(range(min = 1, max = 2_592_000))]
    #[schema(minimum = 1, maximum = 2_592_000, default = 86_400)]
    pub expires_in_seconds: u32,
    /// What it means that nobody did.
    #[schema(default = "REJECT")]
    pub on_expire: OnExpire,
}

impl Default for CallApproval {
    fn default() -> Self {
        Self { expires_in_seconds: 86_400, on_expire: OnExpire::Reject }
    }
}

/// What happens to a run whose executor vanished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnWorkerLost {
    #[default]
    Retry,
    Fail,
}

/// What becomes of a new run whose concurrency key has as many live runs as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Strategy {
    /// It waits for a slot.
    #[default]
    Queue,
    /// It is refused: 409 `concurrency_limit`.
    Reject,
    /// It is created, and the oldest live runs of the key are cancelled for it.
    CancelOldest,
    /// It is created CANCELLED, so that it can be seen and replayed.
    CancelNewest,
}

/// What a run's concurrency key demands when the run is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRule {
    pub limit: u32,
    pub strategy: Strategy,
}

/// Stored with the run: a later change of its definition does not reach it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunPolicy {
    #[serde(skip_serializing_if = "is_default")]
    pub retry: RetryPolicy,
    #[serde(skip_serializing_if = "is_default")]
    pub timeouts: Timeouts,
    #[serde(skip_serializing_if = "is_default")]
    pub on_worker_lost: OnWorkerLost,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Template of a tool's arguments over `{input}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// Of a run of a tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<CallApproval>,
    /// What its creator allows it, within what its agent allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RunLimits>,
    /// The agent's model is a `mock/*` model: nothing was really thought.
    #[serde(skip_serializing_if = "is_default")]
    pub mock: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<KeyRule>,
    /// For how long its dedupe key answers with the run, from its creation; while it is live when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe_seconds: Option<u32>,
    /// What it may cost with its children; the agent's own limit counts too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Nanos>,
    /// The deepest level of its tree that it may reach, when it is not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<i32>,
    /// Its parent goes on without it: its failure is no reason to start it again with its parent.
    #[serde(rename = "tolerated", skip_serializing_if = "is_default")]
    pub is_tolerated: bool,
    /// The steps of a run that names neither an agent nor a tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<RunGraph>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl RunPolicy {
    /// The policy of a stored run; an unreadable one is the default.
    pub fn of(run: &entity::tasks::task_run::Model) -> Self {
        serde_json::from_value(run.policy.clone()).unwrap_or_default()
    }

    /// What the run may cost with its children, read without the rest.
    pub fn max_cost(run: &entity::tasks::task_run::Model) -> Option<Nanos> {
        serde_json::from_value(run.policy.get("maxCost")?.clone()).ok()
    }

    /// How long an attempt may make no progress, read without the rest.
    pub fn patience(run: &entity::tasks::task_run::Model) -> Option<TimeDelta> {
        let seconds = run.policy.pointer("/timeouts/noProgressSeconds")?.as_i64()?;
        TimeDelta::try_seconds(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn ids() -> Ids {
        Ids::seeded(Clock::manual(chrono::DateTime::UNIX_EPOCH), 7)
    }

    #[test]
    fn delays_grow_to_the_cap_and_stay_below_it() {
        let policy = RetryPolicy { base_ms: 100, cap_ms: 1_000, ..RetryPolicy::default() };
        for (failures, ceiling) in [(1, 100), (2, 200), (4, 800), (5, 1_000), (90, 1_000)] {
            let longest = (0..200).map(|_| policy.delay(failures, None, &ids())).max().unwrap();
            assert!(longest <= Duration::from_millis(ceiling), "{failures}: {longest:?}");
        }
        assert_eq!(policy.delay(1, Some(Duration::from_secs(2)), &ids()), Duration::from_secs(2));
    }

    #[test]
    fn a_policy_of_defaults_is_stored_as_nothing() {
        assert_eq!(serde_json::to_string(&RunPolicy::default()).unwrap(), "{}");
    }

    #[test]
    fn attempts_and_codes_decide() {
        let policy = RetryPolicy { max_attempts: 2, never_on: vec!["a".into()], ..RetryPolicy::default() };
        assert!(policy.allows("b", 1));
        assert!(!policy.allows("b", 2));
        assert!(!policy.allows("a", 1));
        let only = RetryPolicy { retry_on: vec!["x".into()], ..RetryPolicy::default() };
        assert!(only.allows("x", 1) && !only.allows("y", 1));
    }
}
