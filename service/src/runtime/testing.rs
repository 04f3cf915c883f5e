//! An attempt in memory, which keeps the engine's promises about the journal and can lose its lease
//! at any commit.

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use entity::agents::tool::{self, SideEffect, ToolType};
use entity::money::Nanos;
use entity::tasks::approval::{self, ApprovalStatus};
use entity::tasks::run_step::{self, StepStatus};
use entity::tasks::run_wait::{self, WaitStatus};
use entity::tasks::task_run::{self, RunReason, RunStatus};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::call::Tool;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::{Core, World};
use crate::db::DatabaseConfig;
use crate::engine::{
    Attempt, EngineSettings, Event, LeaseLost, Outcome, Progress, Question, Step, Stop, Wait,
};
use crate::error::Result;
use crate::ids::Ids;

/// A core on an empty database; the folder lives as long as it does.
pub(crate) async fn core() -> (Core, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
    let config = Config {
        database: DatabaseConfig {
            url: format!("sqlite://{}", folder.path().join("test.db").display()).into(),
            max_connections: 2,
        },
        data_dir: folder.path().to_owned(),
        master_key: None,
        admin_email: None,
        admin_password: None,
        password_permits: 1,
        issuer: "http://localhost".to_owned(),
        signing_key_age: chrono::TimeDelta::days(90),
        engine: EngineSettings { concurrency: 0, ..EngineSettings::default() },
        plans: crate::identity::plans::Plans::default(),
        egress: crate::egress::Policy::default(),
        model_silence: std::time::Duration::from_secs(120),
        public_url: "https://console.example.com".parse().unwrap(),
        mail: crate::notifications::mails::MailSettings::default(),
        oidc: crate::identity::accounts::OidcSettings::default(),
        openai: None,
        anthropic: None,
    };
    let world = World { ids: Ids::seeded(clock.clone(), 1), clock };
    (Core::open(config, world).await.unwrap(), folder)
}

/// The commit at which the lease is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    Never,
    /// Nothing of this commit is stored, counted from 0.
    Before(usize),
    /// It is stored, but the attempt does not learn it.
    After(usize),
}

pub(crate) struct FakeAttempt {
    core: Core,
    pub run: task_run::Model,
    crash: Crash,
    stop: watch::Sender<Option<Stop>>,
    /// Stops with this when the first text arrives.
    pub stop_at_delta: Option<Stop>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
pub(crate) struct State {
    pub journal: Vec<run_step::Model>,
    pub decisions: Vec<approval::Model>,
    pub events: Vec<Event>,
    pub text: String,
    pub commits: usize,
    pub journal_reads: usize,
    pub questions: Vec<Question>,
    pub open: Vec<Wait>,
    pub waits: Vec<run_wait::Model>,
    pub children: Vec<task_run::Model>,
}

impl FakeAttempt {
    pub fn new(core: &Core, input: Value) -> Self {
        Self {
            core: core.clone(),
            run: run(input),
            crash: Crash::Never,
            stop: watch::Sender::new(None),
            stop_at_delta: None,
            state: Mutex::default(),
        }
    }

    pub fn crashing(mut self, crash: Crash) -> Self {
        self.crash = crash;
        self
    }

    /// The next attempt at the same run, with what was stored.
    pub fn resumed(&self) -> Self {
        let mut next = Self::new(&self.core, self.run.input.clone());
        let state = State { commits: 0, journal_reads: 0, questions: Vec::new(), ..self.state().clone() };
        next.run = task_run::Model {
            attempt: self.run.attempt + 1,
            step_count: state.journal.iter().map(|step| step.number).max().unwrap_or(0),
            children: i32::try_from(state.children.len()).unwrap(),
            ..self.run.clone()
        };
        next.state = Mutex::new(state);
        next
    }

    pub fn stop(&self, stop: Stop) {
        self.stop.send_replace(Some(stop));
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers every open question.
    pub fn decide(&self, status: ApprovalStatus, decision: Value) {
        let mut state = self.state();
        for question in std::mem::take(&mut state.questions) {
            let decided = decided(&self.run, question, status, decision.clone());
            state.decisions.push(decided);
        }
    }

    /// Ends every open wait.
    pub fn settle(&self, status: WaitStatus, answer: Option<Value>) {
        let mut state = self.state();
        for wait in std::mem::take(&mut state.open) {
            let settled = settled(&self.run, wait, status, answer.clone());
            state.waits.push(settled);
        }
    }

    /// Stores what an outcome carries, as the engine would.
    pub fn end(&self, outcome: &Outcome) {
        let progress = match outcome {
            Outcome::Completed { progress, .. }
            | Outcome::Failed { progress, .. }
            | Outcome::Cancelled { progress }
            | Outcome::Limited { progress, .. }
            | Outcome::Released { progress } => progress,
            Outcome::Asked { progress, questions, .. } => {
                self.state().questions = questions.clone();
                progress
            }
            Outcome::Waits { progress, waits } => {
                self.state().open = waits.clone();
                progress
            }
            Outcome::Delegated { spawn, progress } => {
                let mut state = self.state();
                for child in &spawn.children {
                    if state.children.iter().all(|known| known.child_key != child.child_key) {
                        state.children.push(child.clone());
                    }
                }
                progress
            }
            Outcome::LeaseLost => return,
        };
        self.commit(progress.clone());
    }

    /// The cost of every step, which is the run's.
    pub fn cost(&self) -> Nanos {
        self.state().journal.iter().map(|step| step.cost_nanos).sum()
    }

    fn commit(&self, progress: Progress) {
        let mut state = self.state();
        state.commits += 1;
        let mut numbers: Vec<i32> = progress.steps.iter().map(|step| step.number).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), progress.steps.len(), "one commit writes a step once");
        for step in progress.steps {
            let row = row(&self.run, step);
            match state.journal.iter().position(|stored| stored.number == row.number) {
                Some(at) => {
                    assert_eq!(
                        state.journal[at].status,
                        StepStatus::Started,
                        "a finished step is written again"
                    );
                    state.journal[at] = run_step::Model { request: state.journal[at].request.clone(), ..row };
                }
                None => {
                    let next = i32::try_from(state.journal.len()).unwrap() + 1;
                    assert_eq!(row.number, next, "the journal has a gap");
                    state.journal.push(row);
                }
            }
        }
        for event in &progress.events {
            assert!(event.data.to_string().len() <= 4096, "{} is too large", event.kind);
        }
        state.events.extend(progress.events);
    }
}

#[async_trait]
impl Attempt for FakeAttempt {
    fn core(&self) -> &Core {
        &self.core
    }

    fn run(&self) -> &task_run::Model {
        &self.run
    }

    fn deadline(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_001)
    }

    async fn journal(&self) -> Result<Vec<run_step::Model>> {
        let mut state = self.state();
        state.journal_reads += 1;
        Ok(state.journal.clone())
    }

    async fn decisions(&self) -> Result<Vec<approval::Model>> {
        Ok(self.state().decisions.clone())
    }

    async fn waits(&self) -> Result<Vec<run_wait::Model>> {
        Ok(self.state().waits.clone())
    }

    async fn children(&self) -> Result<Vec<task_run::Model>> {
        Ok(self.state().children.clone())
    }

    async fn record(&self, progress: Progress) -> Result<(), LeaseLost> {
        let commit = self.state().commits;
        if self.crash == Crash::Before(commit) {
            return Err(LeaseLost);
        }
        self.commit(progress);
        if self.crash == Crash::After(commit) { Err(LeaseLost) } else { Ok(()) }
    }

    fn note(&self, event: Event) {
        self.state().events.push(event);
    }

    fn delta(&self, _step: i32, text: &str) {
        self.state().text.push_str(text);
        if let Some(stop) = self.stop_at_delta {
            self.stop(stop);
        }
    }

    fn stopped(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    async fn until_stopped(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        let stop = stop.wait_for(Option::is_some).await.unwrap();
        stop.unwrap()
    }
}

/// A built-in function as a tool with this name and effect. Each call costs a thousandth.
pub(crate) fn builtin(name: &str, function: &str, side_effect: SideEffect, schema: Value) -> Tool {
    let row = tool::Model {
        tenant_id: Uuid::nil(),
        id: Uuid::from_u128(u128::from(crc32fast::hash(name.as_bytes()))),
        workspace_id: None,
        name: name.to_owned(),
        description: String::new(),
        kind: ToolType::Function,
        config: json!({"function": function}),
        schema,
        side_effect,
        timeout_seconds: 30,
        cost_per_call_nanos: Nanos(1_000_000),
        rate_limit: None,
        metadata: json!({}),
        revision: 1,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        deleted_at: None,
    };
    Tool::new(row).unwrap()
}

fn decided(
    run: &task_run::Model,
    question: Question,
    status: ApprovalStatus,
    decision: Value,
) -> approval::Model {
    approval::Model {
        tenant_id: run.tenant_id,
        id: Uuid::nil(),
        workspace_id: run.workspace_id,
        run_id: run.id,
        step_number: question.step,
        kind: question.kind,
        status,
        proposal: question.proposal,
        decision: Some(decision),
        on_expire: question.on_expire,
        expires_at: run.created_at,
        decided_by: None,
        decided_at: None,
        told_at: None,
        created_at: run.created_at,
        updated_at: run.created_at,
    }
}

fn settled(run: &task_run::Model, wait: Wait, status: WaitStatus, answer: Option<Value>) -> run_wait::Model {
    run_wait::Model {
        tenant_id: run.tenant_id,
        id: Uuid::nil(),
        workspace_id: run.workspace_id,
        run_id: run.id,
        step_number: wait.step,
        kind: wait.kind,
        status,
        key: wait.key,
        request: wait.request,
        answer,
        on_expire: wait.on_expire,
        expires_at: wait.until,
        answered_by: None,
        answered_at: None,
        event_id: None,
        created_at: run.created_at,
        updated_at: run.created_at,
    }
}

fn row(run: &task_run::Model, step: Step) -> run_step::Model {
    run_step::Model {
        tenant_id: run.tenant_id,
        run_id: run.id,
        number: step.number,
        kind: step.kind,
        status: step.status,
        attempt: run.attempt,
        turn: step.turn,
        name: step.name,
        tool_id: step.tool_id,
        call_id: step.call_id,
        effect_key: step.effect_key,
        request: step.request,
        response: step.response,
        stop_reason: step.stop_reason,
        tokens_input: step.usage.input,
        tokens_cache_read: step.usage.cache_read,
        tokens_cache_write: step.usage.cache_write,
        tokens_output: step.usage.output,
        tokens_reasoning: step.usage.reasoning,
        cost_nanos: step.cost,
        unpriced: step.unpriced,
        latency_ms: 0,
        created_at: run.created_at,
        completed_at: None,
    }
}

fn run(input: Value) -> task_run::Model {
    let at = DateTime::UNIX_EPOCH;
    task_run::Model {
        tenant_id: Uuid::nil(),
        id: Uuid::from_u128(7),
        workspace_id: None,
        definition_id: None,
        agent_id: None,
        agent_version: None,
        tool_id: None,
        lane_id: Uuid::nil(),
        capability: None,
        status: RunStatus::Running,
        reason: RunReason::Executing,
        input,
        output: None,
        error: None,
        policy: json!({}),
        priority: 0,
        order_key: 0,
        available_at: at,
        queue_expires_at: at,
        held_at: None,
        deadline_at: None,
        attempt: 1,
        failures: 0,
        lost_count: 0,
        fence: 1,
        lease_owner: None,
        lease_expires_at: None,
        attempt_deadline_at: None,
        cancel_requested_at: None,
        cancel_reason: None,
        wait_until: None,
        event_seq: 0,
        client_seq: 0,
        step_count: 0,
        tokens_input: 0,
        tokens_cache_read: 0,
        tokens_cache_write: 0,
        tokens_output: 0,
        tokens_reasoning: 0,
        cost_nanos: Nanos::ZERO,
        child_cost_nanos: Nanos::ZERO,
        unpriced: false,
        parent_run_id: None,
        root_run_id: None,
        depth: 0,
        child_key: None,
        settled: false,
        settled_nanos: Nanos::ZERO,
        children: 0,
        children_ended: 0,
        wake_ended: None,
        wake_failed: None,
        replay_of: None,
        dedupe_key: None,
        concurrency_key: String::new(),
        created_by: "system".to_owned(),
        metadata: json!({}),
        created_at: at,
        updated_at: at,
        queued_at: at,
        started_at: None,
        completed_at: None,
        waiting_since: None,
        queue_ms: 0,
        waiting_ms: 0,
    }
}
