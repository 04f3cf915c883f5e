//! The contract between the engine and what a leased run does.
//!
//! An executor is given an [`Attempt`]. It reads the journal, does its work outside any transaction,
//! and writes through [`Attempt::record`], which carries the fence: after the lease is gone every
//! write fails with [`LeaseLost`] and the executor stops. It ends by returning an [`Outcome`].

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use entity::money::Nanos;
use entity::tasks::approval::{ApprovalKind, OnExpire};
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::run_wait::{WaitExpiry, WaitKind};
use entity::tasks::task_run::RunReason;
use entity::tasks::{run_step, run_wait, task_run};
use serde_json::{Value, json};
use uuid::Uuid;

use super::transitions::Spawn;
use crate::core::Core;
use crate::error::Result;
use crate::runtime::models::Usage;

/// What executes a leased run: the agent loop, a single tool call, later a remote worker's proxy.
#[async_trait]
pub trait Executor: Send + Sync {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome;
}

/// One attempt at a run, under a lease.
#[async_trait]
pub trait Attempt: Send + Sync {
    fn core(&self) -> &Core;

    /// The run as it was claimed: input, policy, agent and version, cost so far.
    fn run(&self) -> &task_run::Model;

    /// When this attempt times out; model and tool calls get no longer than that.
    fn deadline(&self) -> DateTime<Utc>;

    /// Every step so far, of all attempts, by number.
    async fn journal(&self) -> Result<Vec<run_step::Model>>;

    /// The decided approvals of this run, for tool calls that had to be asked for.
    async fn decisions(&self) -> Result<Vec<entity::tasks::approval::Model>>;

    /// What this run waited for beside approvals, in the order in which the waits were registered.
    async fn waits(&self) -> Result<Vec<run_wait::Model>>;

    /// The children of this run, by key: none is read for a run that has none.
    async fn children(&self) -> Result<Vec<task_run::Model>>;

    /// Makes steps and events durable in one commit, shared with other runs' commits.
    async fn record(&self, progress: Progress) -> Result<(), LeaseLost>;

    /// Adds an event that is stored with the next write, before the text that is streamed from now on.
    fn note(&self, event: Event);

    /// Streams a piece of model text: stored coalesced, at most ten times a second. Never fails;
    /// text is lost only with the lease.
    fn delta(&self, step: i32, text: &str);

    /// `Some` once the executor must stop and start no new call.
    fn stopped(&self) -> Option<Stop>;

    /// Resolves when [`Attempt::stopped`] becomes `Some`: to be raced against every external call.
    async fn until_stopped(&self) -> Stop;
}

/// The lease is gone: nothing that this attempt says counts any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLost;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A user asked: end with [`Outcome::Cancelled`].
    Cancelled,
    /// The attempt's or the run's time is over: end with a [`RunReason::TimedOut`] failure.
    TimedOut,
    /// Nothing was written for as long as the run's policy allows: as with [`Stop::TimedOut`].
    Stalled,
    LeaseLost,
    /// The node shuts down, or the run's tenant is stopped: end with [`Outcome::Released`] after the current step.
    Draining,
}

/// What is written together. A step whose number exists and is `STARTED` is completed by it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub steps: Vec<Step>,
    pub events: Vec<Event>,
}

/// A journal entry. `MODEL` steps hold the reply, `TOOL` steps the outcome of one call.
#[derive(Clone, Debug)]
pub struct Step {
    /// From 1, without gaps, over all attempts.
    pub number: i32,
    pub kind: StepKind,
    pub status: StepStatus,
    /// Which model turn it belongs to, from 1.
    pub turn: i32,
    /// The model's or the tool's name.
    pub name: String,
    pub tool_id: Option<Uuid>,
    pub call_id: Option<String>,
    /// `run:step:call`: what makes a repeated effect recognisable to the other side.
    pub effect_key: Option<String>,
    pub request: Value,
    pub response: Option<Value>,
    pub stop_reason: Option<String>,
    pub usage: Usage,
    pub cost: Nanos,
    /// The model has no known price, so `cost` is not the whole cost.
    pub unpriced: bool,
    pub latency: Duration,
}

/// An entry of the run's timeline; its sequence number is given at the commit.
#[derive(Clone, Debug)]
pub struct Event {
    /// Dotted and in the past tense: `step.completed`, `tool.called`.
    pub kind: &'static str,
    pub data: Value,
}

/// How an attempt ended. `progress` is committed together with the end.
#[derive(Clone, Debug)]
pub enum Outcome {
    Completed {
        reason: RunReason,
        output: Value,
        progress: Progress,
    },
    Failed {
        error: RunError,
        progress: Progress,
    },
    /// Waits for people; the run frees its slot and resumes through the queue.
    Asked {
        reason: RunReason,
        questions: Vec<Question>,
        progress: Progress,
    },
    /// Waits for an answer, an event or a time, in the same way.
    Waits {
        waits: Vec<Wait>,
        progress: Progress,
    },
    /// Starts child runs and waits for them; the run frees its slot, resumes through the queue and consumes
    /// no attempt.
    Delegated {
        spawn: Spawn,
        progress: Progress,
    },
    /// A rate limit has no token: the run waits in the queue until its place comes, and consumes no attempt.
    Limited {
        until: DateTime<Utc>,
        /// Which limit, as the timeline names it.
        limit: Value,
        progress: Progress,
    },
    Cancelled {
        progress: Progress,
    },
    /// Gives the run back unfinished; consumes no attempt.
    Released {
        progress: Progress,
    },
    LeaseLost,
}

#[derive(Clone, Debug)]
pub struct RunError {
    /// The reason of a FAILED run if this error is final.
    pub reason: RunReason,
    /// Stable, snake_case.
    pub code: String,
    /// Safe to show to the tenant.
    pub message: String,
    pub retryable: bool,
    pub retry_after: Option<Duration>,
}

impl RunError {
    /// The attempt's time is over; another may be in time.
    pub fn timed_out() -> Self {
        Self::late("timed_out", "The attempt took longer than it may.")
    }

    /// The attempt made no progress for as long as its policy allows.
    pub fn stalled() -> Self {
        Self::late("stalled", "The attempt wrote no step and no event for longer than it may.")
    }

    fn late(code: &str, message: &str) -> Self {
        Self {
            reason: RunReason::TimedOut,
            code: code.to_owned(),
            message: message.to_owned(),
            retryable: true,
            retry_after: None,
        }
    }
}

/// Something that a person must decide before the run goes on.
#[derive(Clone, Debug)]
pub struct Question {
    pub kind: ApprovalKind,
    /// The number of the step whose call is asked about.
    pub step: i32,
    /// Tool, arguments, and for a review the evidence.
    pub proposal: Value,
    pub on_expire: OnExpire,
    pub expires_in: Duration,
}

/// Something else that has to happen before the run goes on.
#[derive(Clone, Debug)]
pub struct Wait {
    pub kind: WaitKind,
    /// The number of the step whose call waits; its intent is written with the wait.
    pub step: i32,
    /// What an event or a hook names to satisfy it.
    pub key: Option<String>,
    /// What people are asked, and what their answer has to fit.
    pub request: Value,
    pub on_expire: WaitExpiry,
    /// For a timer its time; for the others, until when they may be satisfied.
    pub until: DateTime<Utc>,
}

impl Wait {
    /// For a time.
    pub fn timer(step: i32, until: DateTime<Utc>) -> Self {
        let request = json!({"until": until.to_rfc3339_opts(SecondsFormat::Millis, true)});
        Self { kind: WaitKind::Timer, step, key: None, request, on_expire: WaitExpiry::Continue, until }
    }
}
