//! What a worker tells while it works: each event is taken in once, by the number that the worker gave it.

use std::time::Duration;

use entity::money::Nanos;
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::task_run::{self, RunReason};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationErrors};

use super::usage::{self, ReportedUsage};
use super::{Held, Report, lost};
use crate::ctx::Ctx;
use crate::engine::{Event, Progress, Step};
use crate::error::{Error, FieldError, Result};
use crate::runtime::models::Usage;

/// Of one event's data, as JSON.
const LARGEST: usize = 64 << 10;

/// What happened in the attempt, in its order.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "leaseToken": "mc_lt_…", "events": [{ "clientSeq": 1, "type": "PROGRESS", "data": { "percent": 40 } }] }))]
pub struct AddAttemptEvents {
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub lease_token: String,
    #[validate(length(min = 1, max = 100), nested)]
    #[schema(min_items = 1, max_items = 100)]
    pub events: Vec<AttemptEvent>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttemptEvent {
    /// Counts up in the attempt. One that is not above the last that was taken in is passed over.
    #[validate(range(min = 1, max = 1_000_000_000_000_i64))]
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64)]
    pub client_seq: i64,
    #[serde(rename = "type")]
    pub kind: AttemptEventType,
    /// LOG, PROGRESS: what the worker likes. DELTA: `{text, step?}`. USAGE: as in `usage` of a completion.
    /// STEP: `{name, request?, response?, error?, usage?, latencyMs?}`. TOOL_CALL: `{name, callId?,
    /// arguments?, output?, error?, cost?, effectKey?, latencyMs?}`. At most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// Lower case is understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptEventType {
    #[serde(alias = "log")]
    Log,
    #[serde(alias = "progress")]
    Progress,
    /// A piece of text, for those who follow the run.
    #[serde(alias = "delta")]
    Delta,
    /// A model turn.
    #[serde(alias = "step")]
    Step,
    #[serde(alias = "tool_call")]
    ToolCall,
    /// Tokens and cost that belong to no step of their own.
    #[serde(alias = "usage")]
    Usage,
}

/// Whether the attempt goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptState {
    Ok,
    /// A cancel was asked for: stop, and release or fail the attempt.
    Cancel,
}

/// What was taken in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStateView {
    /// The last event that was taken in, of all calls.
    pub last_client_seq: i64,
    pub state: AttemptState,
}

/// `step` of the worker: a model turn.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StepData {
    #[validate(length(min = 1, max = 200))]
    name: String,
    #[serde(default)]
    request: Value,
    response: Option<Value>,
    error: Option<ErrorData>,
    #[serde(default)]
    #[validate(nested)]
    usage: Option<ReportedUsage>,
    #[serde(default)]
    #[validate(range(min = 0, max = 86_400_000))]
    latency_ms: u64,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolCallData {
    #[validate(length(min = 1, max = 200))]
    name: String,
    #[validate(length(max = 128))]
    call_id: Option<String>,
    #[serde(default)]
    arguments: Value,
    output: Option<Value>,
    error: Option<ErrorData>,
    #[serde(default)]
    cost: Nanos,
    #[validate(length(max = 200))]
    effect_key: Option<String>,
    #[serde(default)]
    #[validate(range(min = 0, max = 86_400_000))]
    latency_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ErrorData {
    code: String,
    message: String,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeltaData {
    #[validate(length(max = 16_384))]
    text: String,
    step: Option<i32>,
}

/// Appends to the run's timeline and journal.
///
/// # Errors
/// 409 `lease_lost`; 422 under `/events`.
pub async fn add_events(
    ctx: &Ctx,
    id: Uuid,
    attempt: i32,
    body: AddAttemptEvents,
) -> Result<AttemptStateView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let AddAttemptEvents { lease_token, events } = body;
    check_order(&events)?;
    let mut held = Held::load(ctx, id, attempt, &lease_token, "events").await?;
    let last = events.iter().map(|event| event.client_seq).max().unwrap_or(0);
    let reason = loop {
        let run = &held.run;
        let new = events.iter().enumerate().filter(|(_, event)| event.client_seq > run.client_seq);
        let mut progress = Progress::default();
        for (index, event) in new {
            add(ctx, run, &mut progress, index, event).await?;
        }
        if progress.events.is_empty() {
            if !held.is_live(ctx.core.clock.now()) {
                return Err(lost(held.call));
            }
            break held.run.reason;
        }
        let report = Report { progress, client_seq: Some(last), ..Report::default() };
        if let Some(written) = held.commit(ctx, report).await? {
            break written.reason;
        }
    };
    let state = match reason {
        RunReason::CancelRequested => AttemptState::Cancel,
        _ => AttemptState::Ok,
    };
    let answer = AttemptStateView { last_client_seq: last.max(held.run.client_seq), state };
    ctx.keep(&answer).await?;
    Ok(answer)
}

fn check_order(events: &[AttemptEvent]) -> Result<()> {
    for (index, pair) in events.windows(2).enumerate() {
        if pair.first().map(|event| event.client_seq) >= pair.last().map(|event| event.client_seq) {
            let pointer = format!("/events/{}/clientSeq", index + 1);
            return Err(Error::invalid(pointer, "order", "clientSeq counts up."));
        }
    }
    Ok(())
}

async fn add(
    ctx: &Ctx,
    run: &task_run::Model,
    progress: &mut Progress,
    index: usize,
    event: &AttemptEvent,
) -> Result<()> {
    let pointer = format!("/events/{index}/data");
    let data = Value::Object(event.data.clone());
    if data.to_string().len() > LARGEST {
        return Err(Error::invalid(pointer, "length", format!("data has at most {LARGEST} bytes.")));
    }
    let taken = progress.steps.last().map_or(run.step_count, |step: &Step| step.number);
    let number = taken.saturating_add(1);
    match event.kind {
        AttemptEventType::Log => progress.events.push(Event { kind: "attempt.log", data }),
        AttemptEventType::Progress => progress.events.push(Event { kind: "attempt.progress", data }),
        AttemptEventType::Delta => {
            let DeltaData { text, step } = read(data, &pointer)?;
            let data = json!({ "step": step.unwrap_or(number), "text": text });
            progress.events.push(Event { kind: "model.delta", data });
        }
        AttemptEventType::Usage => {
            let used: ReportedUsage = read(data, &pointer)?;
            used.check(&pointer)?;
            let (step, event) = usage::step(ctx, run, number, &used).await?;
            progress.steps.push(step);
            progress.events.push(event);
        }
        AttemptEventType::Step => {
            let StepData { name, request, response, error, usage, latency_ms } = read(data, &pointer)?;
            let used = usage.unwrap_or_default();
            used.check(&format!("{pointer}/usage"))?;
            let (step, _) = usage::step(ctx, run, number, &used).await?;
            let (status, response) = outcome(response, error);
            let request = if request.is_null() { json!({}) } else { request };
            let latency = Duration::from_millis(latency_ms);
            let step = Step { name, status, request, response, latency, ..step };
            progress.events.push(usage::completed(&step));
            progress.steps.push(step);
        }
        AttemptEventType::ToolCall => {
            let call: ToolCallData = read(data, &pointer)?;
            if call.cost < Nanos::ZERO {
                return Err(Error::invalid(format!("{pointer}/cost"), "range", "must not be negative"));
            }
            let step = tool_call(number, call);
            progress.events.push(usage::completed(&step));
            progress.steps.push(step);
        }
    }
    Ok(())
}

fn tool_call(number: i32, call: ToolCallData) -> Step {
    let ToolCallData { name, call_id, arguments, output, error, cost, effect_key, latency_ms } = call;
    let (status, response) = outcome(Some(json!({ "output": output })), error);
    Step {
        number,
        kind: StepKind::Tool,
        status,
        turn: number,
        name,
        tool_id: None,
        call_id,
        effect_key,
        request: json!({ "arguments": arguments }),
        response,
        stop_reason: None,
        usage: Usage::default(),
        cost,
        unpriced: false,
        latency: Duration::from_millis(latency_ms),
    }
}

fn outcome(response: Option<Value>, error: Option<ErrorData>) -> (StepStatus, Option<Value>) {
    match error {
        None => (StepStatus::Completed, response),
        Some(ErrorData { code, message }) => {
            (StepStatus::Failed, Some(json!({ "error": { "code": code, "message": message } })))
        }
    }
}

/// An event's data as its type has it.
fn read<T: DeserializeOwned + Validate>(data: Value, pointer: &str) -> Result<T> {
    let read: T = serde_json::from_value(data).map_err(|error| {
        Error::invalid(pointer, "type", error.to_string().chars().take(300).collect::<String>())
    })?;
    match read.validate() {
        Ok(()) => Ok(read),
        Err(errors) => Err(Error::Invalid { errors: vec![broken(pointer, &errors)] }),
    }
}

fn broken(pointer: &str, errors: &ValidationErrors) -> FieldError {
    let field = errors.errors().keys().next().map(|field| field.to_string()).unwrap_or_default();
    FieldError::new(pointer, "range", format!("{field} is out of its bounds."))
}
