//! What a model call leaves in the journal and the timeline.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::task_run::RunReason;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::limits;
use super::plan::Candidate;
use super::session::Session;
use crate::engine::{RunError, Step};
use crate::runtime::end::End;
use crate::runtime::models::{
    Message, ModelError, ModelErrorKind, ModelReply, ModelRequest, ToolCall, Usage, estimate_prompt,
    estimate_tokens,
};

/// Bytes of a call's id; a provider that makes longer ones gets ours.
const LONGEST_ID: usize = 128;

pub(super) fn answered(
    session: &mut Session<'_>,
    candidate: &Candidate,
    request: &ModelRequest,
    reply: ModelReply,
    started: DateTime<Utc>,
) {
    let mut tool_calls = reply.tool_calls;
    name_uniquely(session, &mut tool_calls);
    let message = Message::Assistant { content: reply.content, tool_calls };
    let mut response = serde_json::to_value(message).unwrap_or_default();
    if let Some(members) = response.as_object_mut() {
        members.insert("model".to_owned(), Value::String(reply.model));
        members.extend(reply.request_id.map(|id| ("requestId".to_owned(), Value::String(id))));
    }
    let stop_reason = serde_json::to_value(reply.stop_reason).ok();
    let mut step = Step {
        status: StepStatus::Completed,
        response: Some(response),
        stop_reason: stop_reason.as_ref().and_then(Value::as_str).map(str::to_owned),
        ..paid(session, candidate, request, reply.usage, started)
    };
    if request.turn == 0 {
        step.cost += limits::flat_charge(session);
    }
    write(session, step);
}

/// Keeps the text that was there when the attempt had to stop. The provider bills it, so do we.
pub(super) fn interrupted(
    session: &mut Session<'_>,
    candidate: &Candidate,
    request: &ModelRequest,
    text: &str,
    started: DateTime<Utc>,
) {
    let usage = Usage {
        input: estimate_prompt(request),
        output: estimate_tokens(text),
        estimated: true,
        ..Usage::default()
    };
    let response = json!({"content": text, "error": {"code": "interrupted"}, "tries": 0});
    let step = Step {
        response: Some(response),
        stop_reason: Some("INTERRUPTED".to_owned()),
        ..paid(session, candidate, request, usage, started)
    };
    write(session, step);
}

/// Journals that no model answered, and says whether the run may try again.
pub(super) fn give_up(session: &mut Session<'_>, request: &ModelRequest, failures: &[ModelError]) -> End {
    let tries = request.attempt.saturating_sub(session.history.failed_tries);
    // What could pass is what the next attempt of the run depends on.
    let told = failures.iter().rev().find(|error| error.is_retryable()).or(failures.last());
    let Some(error) = told else {
        return End::failed(RunReason::NonRetryable, "no_model", "The agent has no model.");
    };
    let code = format!("model_{}", kind(error).to_lowercase());
    let step = Step {
        response: Some(json!({"error": {"code": code, "message": error.message}, "tries": tries})),
        ..blank(session, request)
    };
    write(session, step);
    let overflow = error.kind == ModelErrorKind::ContextOverflow;
    End::Failed(RunError {
        reason: if overflow { RunReason::ContextOverflow } else { RunReason::ProviderError },
        code,
        message: error.message.clone(),
        retryable: error.is_retryable(),
        retry_after: error.retry_after,
    })
}

fn write(session: &mut Session<'_>, step: Step) {
    let data = json!({
        "step": step.number,
        "kind": "MODEL",
        "name": step.name,
        "status": step.status,
        "usage": step.usage,
        "cost": step.cost,
        "latencyMs": u64::try_from(step.latency.as_millis()).unwrap_or(u64::MAX),
        "stopReason": step.stop_reason,
    });
    session.push(step);
    session.event("step.completed", data);
}

fn paid(
    session: &Session<'_>,
    candidate: &Candidate,
    request: &ModelRequest,
    usage: Usage,
    started: DateTime<Utc>,
) -> Step {
    let latency = session.attempt.core().clock.now() - started;
    Step {
        usage,
        cost: candidate.price.map_or(Nanos::ZERO, |price| price.cost(&usage)),
        unpriced: candidate.price.is_none(),
        latency: latency.to_std().unwrap_or_default(),
        ..blank(session, request)
    }
}

/// A failed step of the next number, without usage.
fn blank(session: &Session<'_>, request: &ModelRequest) -> Step {
    Step {
        number: session.history.next_step(),
        kind: StepKind::Model,
        status: StepStatus::Failed,
        turn: session.history.next_turn(),
        name: request.model.clone(),
        tool_id: None,
        call_id: None,
        effect_key: None,
        request: digest(request),
        response: None,
        stop_reason: None,
        usage: Usage::default(),
        cost: Nanos::ZERO,
        unpriced: false,
        latency: Duration::ZERO,
    }
}

/// What was asked, without repeating the conversation, which the journal holds already.
fn digest(request: &ModelRequest) -> Value {
    let messages = serde_json::to_vec(&request.messages).unwrap_or_default();
    json!({
        "model": request.model,
        "messages": request.messages.len(),
        "tools": request.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(),
        "temperature": request.temperature,
        "maxTokens": request.max_tokens,
        "sha256": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(messages)),
    })
}

/// Gives calls without an id of their own one: results are matched by it over the whole run.
fn name_uniquely(session: &Session<'_>, calls: &mut [ToolCall]) {
    let mut taken: Vec<&str> = session.history.entries().map(|entry| entry.call.id.as_str()).collect();
    let step = session.history.next_step();
    for (index, call) in calls.iter_mut().enumerate() {
        if call.id.is_empty() || call.id.len() > LONGEST_ID || taken.contains(&call.id.as_str()) {
            call.id = format!("call_{step}_{index}");
        }
        taken.push(&call.id);
    }
}

fn kind(error: &ModelError) -> String {
    let value = serde_json::to_value(error.kind).unwrap_or_default();
    value.as_str().unwrap_or("error").to_owned()
}
