//! Admission: what a run must fulfil before it is accepted. An accepted run is durable.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::money::Nanos;
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::TaskRunView;
use crate::agents::RunLimits;
use crate::crud::metadata::{self, Metadata};
use crate::ctx::Ctx;
use crate::engine::policy::RunPolicy;
use crate::engine::transitions::order_key;
use crate::engine::{Created, Subscription};
use crate::error::{Error, FieldError, Result};
use crate::tasks::targets::{self, Target, Wanted};

/// How far in the future a run may be made available.
const FARTHEST: TimeDelta = TimeDelta::days(365);
/// Other nodes' changes are seen by looking.
const LOOK: Duration = Duration::from_millis(500);
const MOST_MESSAGES: usize = 500;

/// A run to be created: of a definition, or of an agent as it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "definitionId": "0199a000-0000-7000-8000-000000000001", "input": { "url": "https://example.com" } }))]
pub struct CreateTaskRun {
    /// Exactly one of `definitionId` and `agentId`.
    #[serde(default)]
    pub definition_id: Option<Uuid>,
    #[serde(default)]
    pub agent_id: Option<Uuid>,
    /// Checked against the definition's `inputSchema`. A text, an object, or for a chat
    /// `{"messages": [{"role": "user", "content": "…"}]}`.
    #[serde(default)]
    pub input: Value,
    /// From -100 to 100, higher first; a point is worth thirty seconds of waiting.
    #[serde(default)]
    #[validate(range(min = -100, max = 100))]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i32>,
    /// Not before this time, at most a year ahead.
    #[serde(default, deserialize_with = "crate::crud::time::optional")]
    pub available_at: Option<DateTime<Utc>>,
    /// While a run with this key is not terminal, creating another answers with that one.
    #[serde(default)]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub dedupe_key: Option<String>,
    /// Less than the agent allows; what is more has no effect. For runs of agents.
    #[serde(default)]
    #[validate(nested)]
    pub limits: Option<RunLimits>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

/// A created run, and the way to see it change.
pub struct Submitted {
    pub run: TaskRunView,
    subscription: Subscription,
}

pub async fn create(ctx: &Ctx, body: CreateTaskRun) -> Result<Submitted> {
    if let Some(done) = replayed(ctx).await? {
        return Ok(done);
    }
    let CreateTaskRun {
        definition_id,
        agent_id,
        input,
        priority,
        available_at,
        dedupe_key,
        limits,
        metadata,
    } = body;
    let wanted = match (definition_id, agent_id) {
        (Some(id), None) => Wanted::Definition(id),
        (None, Some(id)) => Wanted::Agent(id),
        _ => {
            return Err(Error::invalid(
                "/definitionId",
                "one_of",
                "Give exactly one of definitionId and agentId.",
            ));
        }
    };
    let target = targets::resolve(ctx, wanted).await?;
    check_input(&target, &input)?;
    let mut run = new_run(ctx, &target, input)?;
    if let Some(limits) = limits {
        run.policy = limited(&target, limits)?;
    }
    run.metadata = metadata::stored(metadata);
    run.dedupe_key = dedupe_key;
    run.priority = priority.unwrap_or(target.priority);
    if let Some(at) = available_at.filter(|at| *at > run.created_at) {
        if at - run.created_at > FARTHEST {
            return Err(Error::invalid("/availableAt", "range", "availableAt is at most a year ahead."));
        }
        run.available_at = at;
        run.reason = RunReason::Delayed;
        run.queue_expires_at = at + TimeDelta::seconds(i64::from(target.policy.timeouts.queue_seconds));
    }
    run.order_key = order_key(run.available_at, run.priority);
    target.stamp(&mut run)?;
    submit(ctx, run).await
}

/// The target's policy with limits of the run's own.
fn limited(target: &Target, limits: RunLimits) -> Result<Value> {
    if target.agent.is_none() {
        return Err(Error::invalid("/limits", "unsupported", "Only runs of agents have limits."));
    }
    if limits.max_cost.is_some_and(|cost| cost < Nanos::ZERO) {
        return Err(Error::invalid("/limits/maxCost", "range", "must not be negative"));
    }
    let policy = RunPolicy { limits: Some(limits), ..target.policy.clone() };
    serde_json::to_value(policy).map_err(Error::internal)
}

/// The run of an earlier call with the same `Idempotency-Key`; looked for before anything is checked.
pub(crate) async fn replayed(ctx: &Ctx) -> Result<Option<Submitted>> {
    let Some(run) = ctx.replay::<TaskRunView>().await? else { return Ok(None) };
    let subscription = ctx.core.engine.watch(run.id);
    Ok(Some(Submitted { run, subscription }))
}

/// Makes the run durable, with the answer to the caller's `Idempotency-Key`.
pub async fn submit(ctx: &Ctx, run: Model) -> Result<Submitted> {
    let record = match &ctx.idempotency {
        None => None,
        Some(key) => Some(crate::crud::record(ctx, key, &TaskRunView::from(run.clone()))?),
    };
    let subscription = ctx.core.engine.watch(run.id);
    match ctx.core.engine.submit(run, Some(ctx.request_id.clone()), record).await? {
        Created::New(run) => Ok(Submitted { run: (*run).into(), subscription }),
        Created::Duplicate(run) => {
            if !ctx.rights.reach.holds_agent(run.agent_id) {
                return Err(Error::conflict(
                    "dedupe_key_taken",
                    "A run that you cannot see has this dedupeKey.",
                ));
            }
            let run = TaskRunView::from(*run);
            ctx.keep(&run).await?;
            let subscription = ctx.core.engine.watch(run.id);
            Ok(Submitted { run, subscription })
        }
    }
}

/// The run once it is terminal, or as it is when `longest` is over.
pub async fn wait(ctx: &Ctx, submitted: Submitted, longest: Duration) -> Result<TaskRunView> {
    let Submitted { run, mut subscription } = submitted;
    let until = tokio::time::Instant::now() + longest;
    let mut look = false;
    loop {
        if look {
            let now = super::get(ctx, run.id).await?;
            if now.status.is_terminal() || tokio::time::Instant::now() >= until {
                return Ok(now);
            }
        } else if run.status.is_terminal() {
            return Ok(run);
        }
        look = true;
        let pause = until.min(tokio::time::Instant::now() + LOOK);
        loop {
            tokio::select! {
                seen = subscription.changed() => match seen.ended {
                    Some(run) => return Ok(Arc::unwrap_or_clone(run).into()),
                    None if seen.status.is_some_and(|status| status.is_terminal()) => break,
                    None => {}
                },
                () = tokio::time::sleep_until(pause) => break,
            }
        }
    }
}

pub(crate) fn check_input(target: &Target, input: &Value) -> Result<()> {
    let mut errors = Vec::new();
    if target.chat {
        errors.extend(chat_error(input));
    }
    if let Some(schema) = &target.input_schema
        && let Err(more) = schema.check(input, "/input")
    {
        errors.extend(more);
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid { errors }) }
}

fn chat_error(input: &Value) -> Option<FieldError> {
    let messages = input.get("messages").and_then(Value::as_array);
    let Some(messages) = messages.filter(|messages| (1..=MOST_MESSAGES).contains(&messages.len())) else {
        let message = format!("A chat's input has 1 to {MOST_MESSAGES} messages.");
        return Some(FieldError::new("/input/messages", "required", message));
    };
    let fits = |message: &Value| {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        ["user", "assistant", "system"].contains(&role)
            && message.get("content").is_some_and(Value::is_string)
    };
    let wrong = messages.iter().position(|message| !fits(message))?;
    let message = "A message has a role (user, assistant or system) and a text content.";
    Some(FieldError::new(format!("/input/messages/{wrong}"), "message", message))
}

/// A PENDING run of the target, with nothing but the input of its own.
pub fn new_run(ctx: &Ctx, target: &Target, input: Value) -> Result<Model> {
    let now = ctx.core.clock.now();
    Ok(Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id: target.workspace_id,
        definition_id: target.definition_id,
        agent_id: target.agent.map(|agent| agent.0),
        agent_version: target.agent.map(|agent| agent.1),
        tool_id: target.tool_id.filter(|_| target.agent.is_none()),
        lane_id: target.lane().ok_or_else(|| Error::internal("a run has an agent, a tool or a graph"))?,
        capability: target.capability.clone(),
        status: RunStatus::Pending,
        reason: RunReason::Queued,
        input,
        output: None,
        error: None,
        policy: target.stored_policy.clone(),
        priority: target.priority,
        order_key: order_key(now, target.priority),
        available_at: now,
        queue_expires_at: now + TimeDelta::seconds(i64::from(target.policy.timeouts.queue_seconds)),
        held_at: None,
        deadline_at: None,
        attempt: 0,
        failures: 0,
        lost_count: 0,
        fence: 0,
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
        created_by: ctx.actor.to_string(),
        metadata: Value::Object(serde_json::Map::new()),
        created_at: now,
        updated_at: now,
        queued_at: now,
        started_at: None,
        completed_at: None,
        waiting_since: None,
        queue_ms: 0,
        waiting_ms: 0,
    })
}
