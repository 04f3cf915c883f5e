//! One call of a tool: its arguments checked, its execution bounded, its traces in journal and
//! timeline. Shared by the agent loop and by runs of a single tool.
//!
//! Invariant: a tool that changes something has a written intent before it is executed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::agents::tool;
use entity::money::Nanos;
use entity::tasks::approval::{ApprovalKind, OnExpire};
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::task_run::{self, RunReason};
use serde_json::{Value, json};
use tracing::Instrument as _;
use tracing::field::Empty;
use uuid::Uuid;

use super::end::End;
use super::race;
use super::rate::{self, Bucket};
use super::tools::{
    DEFAULT_MAX_OUTPUT_BYTES, ToolCallContext, ToolConfig, ToolFailure, ToolOutcome, execute,
};
use crate::engine::{Attempt, Event, Question, Step, Stop};
use crate::error::{FieldError, Result};
use crate::integrations::TenantSecrets;
use crate::tasks::children::ChildState;
use crate::tasks::targets::Wanted;

/// How long a person has to decide.
pub(super) const DECIDE_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Attempts at a call whose key makes a repetition harmless.
const KEYED_TRIES: u32 = 3;
/// Bytes of arguments and messages shown in an event; the step has them whole.
const PREVIEW: usize = 1024;

/// A tool that can be called.
pub struct Tool {
    pub row: tool::Model,
    pub config: ToolConfig,
}

impl Tool {
    pub fn new(row: tool::Model) -> Result<Self> {
        Ok(Self { config: ToolConfig::parse(row.kind, &row.config)?, row })
    }

    /// What a call of it is a child run of: an agent, or the function of a worker. `None` when it is executed here.
    pub(super) fn child(&self) -> Option<Wanted> {
        self.child_of_run().or_else(|| self.config.capability().map(|_| Wanted::Tool(self.row.id)))
    }

    /// The same for a run of the tool alone, which is a worker's itself if the function is.
    pub(super) fn child_of_run(&self) -> Option<Wanted> {
        match &self.config {
            ToolConfig::Agent(agent) => Some(Wanted::Agent(agent.agent_id)),
            ToolConfig::Api(_) | ToolConfig::Function(_) => None,
        }
    }
}

/// A call that is about to be made, and where it is journaled.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub number: i32,
    pub turn: i32,
    pub call_id: Option<String>,
    pub effect_key: String,
    pub arguments: Value,
    /// What the model is told beside the outcome.
    pub note: Option<String>,
}

/// What was made of it.
pub(super) struct Done {
    pub outcome: ToolOutcome,
    pub latency: Duration,
}

/// Executes a call within the tool's timeout and the deadline. A keyed call of which nobody knows
/// whether it arrived is repeated with the same key.
pub(super) async fn make(
    attempt: &dyn Attempt,
    deadline: DateTime<Utc>,
    tool: &Tool,
    call: &Call,
) -> Result<Done, Stop> {
    let core = attempt.core();
    let secrets = TenantSecrets { core: core.clone(), tenant: attempt.run().tenant_id };
    let started = core.clock.now();
    let seconds = u64::try_from(tool.row.timeout_seconds).unwrap_or(1).max(1);
    let mut tries = 1;
    let outcome = loop {
        let cx = ToolCallContext {
            egress: &core.egress,
            clock: &core.clock,
            secrets: &secrets,
            effect_key: &call.effect_key,
            timeout: Duration::from_secs(seconds).min(race::remaining(attempt, deadline)),
            max_output_bytes: DEFAULT_MAX_OUTPUT_BYTES,
        };
        let span = tracing::debug_span!("tool", tool.name = tool.row.name, error.type = Empty);
        let asked = execute(&tool.config, &call.arguments, &cx).instrument(span.clone());
        let outcome = race::unless_stopped(attempt, deadline, asked).await?;
        if let ToolOutcome::Failure(failure) = &outcome {
            span.record("error.type", failure.code);
        }
        let lost =
            matches!(&outcome, ToolOutcome::Failure(failure) if failure.retryable && failure.outcome_unknown);
        if !(lost && tool.row.side_effect == tool::SideEffect::Keyed && tries < KEYED_TRIES) {
            break outcome;
        }
        race::pause(attempt, deadline, Duration::from_millis(200) * tries).await?;
        if let Some(bucket) = Bucket::of_tool(&tool.row)
            && !matches!(rate::soon(attempt, deadline, &bucket).await, Ok(None))
        {
            break outcome;
        }
        tries += 1;
    };
    Ok(Done { outcome, latency: (core.clock.now() - started).to_std().unwrap_or_default() })
}

fn kind(tool: &Tool) -> StepKind {
    match &tool.config {
        ToolConfig::Agent(_) => StepKind::Agent,
        config if config.is_wait() => StepKind::Wait,
        _ => StepKind::Tool,
    }
}

/// The journal's entry of a call that starts.
pub(super) fn intent(tool: &Tool, call: &Call) -> Step {
    Step {
        number: call.number,
        kind: kind(tool),
        status: StepStatus::Started,
        turn: call.turn,
        name: tool.row.name.clone(),
        tool_id: Some(tool.row.id),
        call_id: call.call_id.clone(),
        effect_key: Some(call.effect_key.clone()),
        request: json!({"arguments": call.arguments}),
        response: None,
        stop_reason: None,
        usage: Default::default(),
        cost: Nanos::ZERO,
        unpriced: false,
        latency: Duration::ZERO,
    }
}

/// The journal's entry of a call that was made, which costs whether it worked or not.
pub(super) fn outcome(tool: &Tool, call: &Call, done: &Done) -> Step {
    let (status, mut response) = match &done.outcome {
        ToolOutcome::Success { output } => (StepStatus::Completed, json!({"output": output})),
        ToolOutcome::Failure(ToolFailure { code, message, .. }) => (StepStatus::Failed, error(code, message)),
    };
    if let (Some(members), Some(note)) = (response.as_object_mut(), &call.note) {
        members.insert("note".to_owned(), Value::String(note.clone()));
    }
    Step {
        status,
        response: Some(response),
        cost: tool.row.cost_per_call_nanos,
        latency: done.latency,
        ..intent(tool, call)
    }
}

/// The journal's entry of a call that is a child run, and what became of it. The child pays for itself; a run of the
/// tool alone has paid for the call, too.
pub(super) fn returned(tool: &Tool, call: &Call, child: &task_run::Model) -> Option<Step> {
    let (status, response) = match ChildState::of(child) {
        ChildState::Live => return None,
        ChildState::Completed(output) => {
            let outcome = ToolOutcome::Success { output };
            let Step { status, response, .. } =
                self::outcome(tool, call, &Done { outcome, latency: took(child) });
            (status, response)
        }
        ChildState::Failed { code, message } => (StepStatus::Failed, Some(error(&code, &message))),
    };
    let is_call = child.agent_id.is_none() && child.tool_id == Some(tool.row.id);
    let cost = if is_call { Nanos::ZERO } else { tool.row.cost_per_call_nanos };
    Some(Step { status, response, cost, latency: took(child), ..intent(tool, call) })
}

/// A call that could not be started.
pub(super) fn refused(tool: &Tool, call: &Call, code: &str, message: &str) -> Step {
    Step { status: StepStatus::Failed, response: Some(error(code, message)), ..intent(tool, call) }
}

fn took(child: &task_run::Model) -> Duration {
    child.completed_at.and_then(|end| (end - child.created_at).to_std().ok()).unwrap_or_default()
}

/// What a child is to its parent: the model's step and the call's place in it.
pub(super) fn child_key(call: &Call) -> &str {
    call.effect_key.split_once(':').map_or(call.effect_key.as_str(), |(_, key)| key)
}

/// The response of a step that failed.
pub(super) fn error(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

pub(super) fn called(tool: &Tool, call: &Call) -> Event {
    let data = json!({
        "step": call.number,
        "name": tool.row.name,
        "callId": call.call_id,
        "arguments": preview(&call.arguments),
    });
    Event { kind: "tool.called", data }
}

/// `tool.completed` or `tool.failed`, for a step that was either.
pub(super) fn ended(step: &Step) -> Event {
    let mut data = json!({
        "step": step.number,
        "name": step.name,
        "callId": step.call_id,
        "cost": step.cost,
        "latencyMs": u64::try_from(step.latency.as_millis()).unwrap_or(u64::MAX),
    });
    let error = step.response.as_ref().and_then(|response| response.get("error"));
    if let (Some(members), Some(error)) = (data.as_object_mut(), error) {
        members.insert("error".to_owned(), preview(error));
    }
    let kind = if step.status == StepStatus::Completed { "tool.completed" } else { "tool.failed" };
    Event { kind, data }
}

/// What a person is asked about a call before it is made.
pub(super) fn question(
    name: &str,
    tool: Uuid,
    call_id: Option<&str>,
    step: i32,
    arguments: &Value,
) -> Question {
    Question {
        kind: ApprovalKind::Tool,
        step,
        proposal: json!({ "tool": name, "toolId": tool, "callId": call_id, "arguments": arguments }),
        on_expire: OnExpire::Reject,
        expires_in: DECIDE_WITHIN,
    }
}

/// Asks whether a call whose effect is unknown is made again.
pub(super) fn review(tool: &Tool, call: &Call, why: &str) -> End {
    let proposal = json!({
        "tool": tool.row.name,
        "toolId": tool.row.id,
        "callId": call.call_id,
        "arguments": call.arguments,
        "effectKey": call.effect_key,
        "evidence": why,
    });
    let question = Question {
        kind: ApprovalKind::Review,
        step: call.number,
        proposal,
        on_expire: OnExpire::Fail,
        expires_in: DECIDE_WITHIN,
    };
    End::Asked { reason: RunReason::NeedsReview, questions: vec![question] }
}

/// Errors of one value as text, a line each.
pub(super) fn explain(errors: &[FieldError]) -> String {
    let line = |error: &FieldError| match error.pointer.as_str() {
        "" => format!("- {}", error.message),
        pointer => format!("- {pointer}: {}", error.message),
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A value as an event shows it: whole when small, else the beginning of its text.
pub(super) fn preview(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= PREVIEW {
        return value.clone();
    }
    Value::String(format!("{}…", &text[..text.floor_char_boundary(PREVIEW)]))
}
