//! The loop against the mock models, in memory.

mod approvals;
mod crashes;
mod effects;
mod limits;
mod models;
mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use entity::agents::tool::SideEffect;
use entity::money::Nanos;
use entity::tasks::task_run::RunReason;
use serde_json::{Value, json};

use super::{Bound, Candidate, Output, Plan, run};
use crate::agents::{AgentConfig, AgentLimits, AgentToolConfig};
use crate::engine::{Outcome, RunError};
use crate::runtime::models::{DeltaSink, Mock, ModelError, ModelProvider, ModelReply, ModelRequest};
use crate::runtime::testing::{Crash, FakeAttempt, builtin, core};
use crate::usage::Price;

/// A plan with the mock provider, which counts what it is asked.
struct Rig {
    plan: Plan,
    asked: Arc<AtomicUsize>,
}

/// A millionth for each token.
const PRICE: Price = Price {
    input: Nanos(1_000_000_000),
    cache_read: Nanos(1_000_000_000),
    cache_write: Nanos(1_000_000_000),
    output: Nanos(1_000_000_000),
    reasoning: Nanos(1_000_000_000),
};

struct Counted(Arc<AtomicUsize>);

#[async_trait]
impl ModelProvider for Counted {
    async fn complete(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Mock.complete(request, deltas).await
    }

    async fn list_models(&self) -> Result<Vec<String>, ModelError> {
        Mock.list_models().await
    }
}

impl Rig {
    fn new(model: &str) -> Self {
        let mut rig = Self {
            plan: Plan {
                config: AgentConfig { system_prompt: Some("Be brief.".to_owned()), ..AgentConfig::default() },
                models: Vec::new(),
                tools: Vec::new(),
                output: None,
            },
            asked: Arc::default(),
        };
        rig.model(model);
        rig
    }

    /// Another model; a token costs a millionth.
    fn model(&mut self, model: &str) {
        self.plan.models.push(Candidate {
            model: model.to_owned(),
            provider: Ok(Arc::new(Counted(self.asked.clone()))),
            price: Some(PRICE),
            bucket: None,
        });
    }

    fn tool(mut self, name: &str, effect: SideEffect, policy: Value) -> Self {
        let schema =
            json!({"type": "object", "properties": {"n": {"type": "integer"}, "who": {"type": "string"}}});
        let tool = builtin(name, "builtin/echo", effect, schema);
        let policy: AgentToolConfig = serde_json::from_value(policy).unwrap();
        self.plan.tools.push(Bound::new(tool, policy));
        self
    }

    async fn output(mut self, schema: Value) -> Self {
        self.plan.output = Some(Output::new(schema, &Default::default()).await.unwrap());
        self
    }

    fn limits(mut self, limits: AgentLimits) -> Self {
        self.plan.config.limits = limits;
        self
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Runs an attempt and stores its end.
    async fn run(&self, attempt: &FakeAttempt) -> Outcome {
        let outcome = run(attempt, &self.plan).await;
        attempt.end(&outcome);
        outcome
    }
}

fn script(turns: Value) -> Value {
    json!({"script": turns})
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"name": name, "arguments": arguments})
}

fn output(outcome: &Outcome) -> (RunReason, Value) {
    match outcome {
        Outcome::Completed { reason, output, .. } => (*reason, output.clone()),
        other => panic!("not completed: {other:?}"),
    }
}

fn error(outcome: &Outcome) -> &RunError {
    match outcome {
        Outcome::Failed { error, .. } => error,
        other => panic!("not failed: {other:?}"),
    }
}

/// The responses of the journal's tool steps.
fn results(attempt: &FakeAttempt) -> Vec<Value> {
    let state = attempt.state();
    let tools = state.journal.iter().filter(|step| step.call_id.is_some());
    tools.map(|step| step.response.clone().unwrap_or_default()).collect()
}
