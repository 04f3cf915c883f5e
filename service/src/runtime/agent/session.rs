//! One attempt's hold on the run: its history, and what is not written yet.
//!
//! Invariants: everything pending is durable before the next external call begins ([`Session::flush`]),
//! and what is left when the attempt ends rides in the outcome. So a run of one turn is one commit.

use chrono::{DateTime, TimeDelta, Utc};
use entity::money::Nanos;
use entity::tasks::{approval, run_wait, task_run};
use serde_json::Value;

use super::context;
use super::history::{self, Entry, History};
use super::plan::Plan;
use crate::engine::policy::RunPolicy;
use crate::engine::{Attempt, Event, Progress, Step};
use crate::runtime::call::Call;
use crate::runtime::end::Flow;
use crate::runtime::models::Message;

/// A call that becomes a child run.
pub(super) struct Start {
    pub tool: usize,
    pub call: Call,
}

pub(super) struct Session<'a> {
    pub attempt: &'a dyn Attempt,
    pub plan: &'a Plan,
    pub deadline: DateTime<Utc>,
    /// What every request begins with.
    pub opening: Vec<Message>,
    pub history: History,
    pub decisions: Vec<approval::Model>,
    pub waits: Vec<run_wait::Model>,
    /// Child runs, of calls that are such.
    pub children: Vec<task_run::Model>,
    /// Calls whose child runs are to be started.
    pub starts: Vec<Start>,
    /// What the run may cost with its children.
    pub max_cost: Option<Nanos>,
    pending: Progress,
}

impl<'a> Session<'a> {
    pub async fn open(attempt: &'a dyn Attempt, plan: &'a Plan) -> Flow<Self> {
        let run = attempt.run();
        let mut history = History::default();
        let (mut decisions, mut waits) = (Vec::new(), Vec::new());
        let children = attempt.children().await?;
        if run.attempt > 1 || run.step_count > 0 {
            attempt.journal().await?.into_iter().map(history::recorded).for_each(|step| history.apply(&step));
            decisions = attempt.decisions().await?;
            if history.entries().any(Entry::is_waiting) {
                waits = attempt.waits().await?;
            }
        }
        let seconds = plan.config.limits.max_duration_seconds.map(i64::from).and_then(TimeDelta::try_seconds);
        let own = seconds.map_or(DateTime::<Utc>::MAX_UTC, |seconds| attempt.core().clock.now() + seconds);
        Ok(Self {
            attempt,
            plan,
            deadline: attempt.deadline().min(own),
            opening: context::opening(&plan.config, &run.input)?,
            history,
            decisions,
            waits,
            children,
            starts: Vec::new(),
            max_cost: plan.config.limits.max_cost.into_iter().chain(RunPolicy::max_cost(run)).min(),
            pending: Progress::default(),
        })
    }

    pub fn push(&mut self, step: Step) {
        self.history.apply(&step);
        self.pending.steps.push(step);
    }

    pub fn event(&mut self, kind: &'static str, data: Value) {
        self.pending.events.push(Event { kind, data });
    }

    pub fn push_event(&mut self, event: Event) {
        self.pending.events.push(event);
    }

    /// Makes the pending steps durable, with their events. Events alone wait for a step.
    pub async fn flush(&mut self) -> Flow {
        if self.pending.steps.is_empty() { Ok(()) } else { self.flush_all().await }
    }

    /// Makes everything pending durable, for those who watch.
    pub async fn flush_all(&mut self) -> Flow {
        Ok(self.attempt.record(std::mem::take(&mut self.pending)).await?)
    }

    /// What the run has cost, with its children.
    pub fn cost(&self) -> Nanos {
        self.history.cost + self.attempt.run().child_cost_nanos
    }

    pub fn child(&self, key: &str) -> Option<&task_run::Model> {
        self.children.iter().find(|run| run.child_key.as_deref() == Some(key))
    }

    pub fn into_pending(self) -> Progress {
        self.pending
    }
}
