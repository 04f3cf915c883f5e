//! How a worker ends an attempt: with an output, with a failure, or by giving it back.

use std::time::Duration;

use entity::agents::tool;
use entity::money::Nanos;
use entity::tasks::task_run::{self, RunReason};
use entity::tasks::{run_event, run_step};
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::usage::{self, ReportedUsage};
use super::{Held, LeaseToken, Report, lost};
use crate::agents::snapshot;
use crate::ctx::Ctx;
use crate::engine::policy::RunPolicy;
use crate::engine::{self, Event, Outcome, Progress, RunError};
use crate::error::{Error, Result};
use crate::runtime::{Tool, tool_run};
use crate::tasks::task_runs::{self, TaskRunView};
use crate::tasks::workers::{self, ClaimedRun};

/// Ends of attempts that are looked through for the one that is told again.
const MOST_ENDS: u64 = 50;

/// What the attempt came to.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "leaseToken": "mc_lt_…", "output": { "width": 64 }, "claimNext": true }))]
pub struct CompleteAttempt {
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub lease_token: String,
    /// Has to fit the `outputSchema` of the run's definition, or of its agent.
    #[serde(default)]
    pub output: Value,
    /// Used since what was reported last.
    #[serde(default)]
    #[validate(nested)]
    pub usage: Option<ReportedUsage>,
    /// Claims the worker's next run in the same call.
    #[serde(default)]
    pub claim_next: bool,
}

/// How the attempt failed.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "leaseToken": "mc_lt_…", "error": { "type": "bad_image", "message": "Not a picture.", "retryable": false } }))]
pub struct FailAttempt {
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub lease_token: String,
    #[validate(nested)]
    pub error: FailAttemptError,
    /// Used since what was reported last.
    #[serde(default)]
    #[validate(nested)]
    pub usage: Option<ReportedUsage>,
    /// Claims the worker's next run in the same call.
    #[serde(default)]
    pub claim_next: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailAttemptError {
    /// Becomes the `code` of the run's error, which `retryOn` and `neverOn` name.
    #[serde(rename = "type")]
    #[validate(length(min = 1, max = 64), custom(function = "valid_type"))]
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]+$")]
    pub kind: String,
    #[validate(length(max = 2_000))]
    #[schema(max_length = 2_000)]
    pub message: String,
    /// Whether another attempt may succeed.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub retryable: bool,
    /// No attempt before this time, in milliseconds.
    #[serde(default)]
    #[validate(range(max = 600_000))]
    #[schema(maximum = 600_000)]
    pub retry_after_ms: Option<u64>,
}

fn yes() -> bool {
    true
}

fn valid_type(kind: &str) -> Result<(), ValidationError> {
    let is_plain = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_plain { Ok(()) } else { Err(ValidationError::new("pattern")) }
}

/// Gives an attempt back.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "leaseToken": "mc_lt_…" }))]
pub struct ReleaseAttempt {
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128)]
    pub lease_token: String,
    /// Claims the worker's next run in the same call; it may be this one again.
    #[serde(default)]
    pub claim_next: bool,
}

/// The run after its attempt, and the worker's next one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptEnded {
    pub run: TaskRunView,
    /// Where `claimNext` asked for it and one was there.
    #[schema(required)]
    pub next: Option<ClaimedRun>,
}

/// Ends the run with its output.
///
/// # Errors
/// 409 `lease_lost`; 422 under `/output` when it does not fit its schema: the attempt goes on.
pub async fn complete(ctx: &Ctx, id: Uuid, attempt: i32, body: CompleteAttempt) -> Result<AttemptEnded> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let CompleteAttempt { lease_token, output, usage, claim_next } = body;
    check_usage(usage.as_ref())?;
    let mut held = Held::load(ctx, id, attempt, &lease_token, "complete").await?;
    if !held.is_live(ctx.core.clock.now()) {
        let same = ended(ctx, &held.token).await?.is_some_and(|end| end.kind == "run.completed");
        return match same && held.run.output.as_ref() == Some(&output) {
            true => answer(ctx, held, claim_next).await,
            false => Err(lost(held.call)),
        };
    }
    check_output(ctx, &mut held, &output).await?;
    loop {
        let run = &held.run;
        let mut progress = used(ctx, run, usage.as_ref()).await?;
        if let Some(call) = handed_back(ctx, run, Ok(&output)).await? {
            progress = after(call, progress);
        } else if progress.steps.is_empty()
            && let Some((step, event)) = usage::flat_charge(ctx, run).await?
        {
            progress.steps.push(step);
            progress.events.push(event);
        }
        let outcome = Outcome::Completed { reason: RunReason::Output, output: output.clone(), progress };
        let report = report(ctx, run, outcome);
        if let Some(written) = held.commit(ctx, report).await? {
            engine::ended(Some(written.status));
            return answer(ctx, held, claim_next).await;
        }
    }
}

/// Ends the attempt with a failure: the run's policy says whether there is another.
///
/// # Errors
/// 409 `lease_lost`.
pub async fn fail(ctx: &Ctx, id: Uuid, attempt: i32, body: FailAttempt) -> Result<AttemptEnded> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let FailAttempt { lease_token, error, usage, claim_next } = body;
    check_usage(usage.as_ref())?;
    let mut held = Held::load(ctx, id, attempt, &lease_token, "fail").await?;
    if !held.is_live(ctx.core.clock.now()) {
        let told = json!({ "code": error.kind, "message": error.message });
        let same = ended(ctx, &held.token).await?.is_some_and(|end| end.data.get("error") == Some(&told));
        return if same { answer(ctx, held, claim_next).await } else { Err(lost(held.call)) };
    }
    loop {
        let run = &held.run;
        let mut progress = used(ctx, run, usage.as_ref()).await?;
        if let Some(call) = handed_back(ctx, run, Err((&error.kind, &error.message))).await? {
            progress = after(call, progress);
        }
        // Whoever fails because of a cancel agrees with it.
        let outcome = match run.cancel_requested_at {
            Some(_) => Outcome::Cancelled { progress },
            None => Outcome::Failed { error: run_error(&error), progress },
        };
        let mut report = report(ctx, run, outcome);
        if let Some(change) = &mut report.change {
            change.event_data["error"] = json!({ "code": error.kind, "message": error.message });
        }
        if let Some(written) = held.commit(ctx, report).await? {
            engine::ended(Some(written.status));
            return answer(ctx, held, claim_next).await;
        }
    }
}

/// Gives the run back to the queue. It consumes no attempt; where a cancel was asked for it agrees.
///
/// # Errors
/// 409 `lease_lost`.
pub async fn release(ctx: &Ctx, id: Uuid, attempt: i32, body: ReleaseAttempt) -> Result<AttemptEnded> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let ReleaseAttempt { lease_token, claim_next } = body;
    let mut held = Held::load(ctx, id, attempt, &lease_token, "release").await?;
    if !held.is_live(ctx.core.clock.now()) {
        let is_end = |end: &run_event::Model| end.kind == "run.released" || end.kind == "run.cancelled";
        let same = ended(ctx, &held.token).await?.is_some_and(|end| is_end(&end));
        return if same { answer(ctx, held, claim_next).await } else { Err(lost(held.call)) };
    }
    loop {
        let outcome = Outcome::Released { progress: not_made(ctx, &held.run, "released").await? };
        let report = report(ctx, &held.run, outcome);
        if let Some(written) = held.commit(ctx, report).await? {
            engine::ended(Some(written.status));
            return answer(ctx, held, claim_next).await;
        }
    }
}

fn run_error(error: &FailAttemptError) -> RunError {
    RunError {
        reason: if error.retryable { RunReason::Error } else { RunReason::NonRetryable },
        code: error.kind.clone(),
        message: error.message.clone(),
        retryable: error.retryable,
        retry_after: error.retry_after_ms.map(Duration::from_millis),
    }
}

fn check_usage(usage: Option<&ReportedUsage>) -> Result<()> {
    usage.map_or(Ok(()), |usage| usage.check("/usage"))
}

/// The end of the attempt, by which the same call is recognised if it comes again.
pub(super) fn report(ctx: &Ctx, run: &task_run::Model, outcome: Outcome) -> Report {
    let Some(ending) = engine::ending(run, outcome, ctx.core.clock.now(), &ctx.core.ids) else {
        return Report::default();
    };
    let mut change = ending.change;
    change.event_data["attempt"] = json!(run.attempt);
    change.event_data["lease"] = json!(run.fence);
    Report { progress: ending.progress, change: Some(change), awaited: ending.awaited, client_seq: None }
}

/// How the attempt of this lease ended, if its own worker ended it.
pub(super) async fn ended(ctx: &Ctx, token: &LeaseToken) -> Result<Option<run_event::Model>> {
    use run_event::{Column, Entity};
    let kinds =
        ["run.completed", "run.failed", "run.retrying", "run.cancelled", "run.waiting", "run.released"];
    let db = ctx.db();
    let ends = db.find::<Entity>().filter(Column::RunId.eq(token.run)).filter(Column::Kind.is_in(kinds));
    let ends = ends.order_by(Column::Seq, Order::Desc).limit(MOST_ENDS).all().await?;
    Ok(ends.into_iter().find(|end| end.data.get("lease") == Some(&json!(token.fence))))
}

/// The answer: the run as it is, and the worker's next one.
pub(super) async fn answer(ctx: &Ctx, held: Held, claim_next: bool) -> Result<AttemptEnded> {
    let run = task_runs::load(ctx, held.run.id).await?;
    // A slot is free, and with it perhaps one of the agent's.
    ctx.core.engine.call_worker(&run);
    let next = match claim_next {
        true => workers::claim_next(ctx, held.token.worker).await?,
        false => None,
    };
    let answer = AttemptEnded { run: run.into(), next };
    ctx.keep(&answer).await?;
    Ok(answer)
}

/// An output that does not fit is refused and told in the timeline; the worker may send another.
async fn check_output(ctx: &Ctx, held: &mut Held, output: &Value) -> Result<()> {
    let run = &held.run;
    let schema = match (RunPolicy::of(run).output_schema, run.agent_id.zip(run.agent_version)) {
        (Some(schema), _) => Some(schema),
        (None, Some((agent, version))) => {
            snapshot(&ctx.core, ctx.tenant, agent, version).await?.config.output_schema.clone()
        }
        (None, None) => None,
    };
    let Some(schema) = schema else { return Ok(()) };
    let Err(errors) = ctx.core.schemas.get(&schema).await?.check(output, "/output") else { return Ok(()) };
    let told: Vec<_> =
        errors.iter().map(|error| json!({ "pointer": error.pointer, "message": error.message })).collect();
    let events = vec![Event { kind: "output.refused", data: json!({ "errors": told }) }];
    loop {
        let progress = Progress { events: events.clone(), ..Progress::default() };
        if held.commit(ctx, Report { progress, ..Report::default() }).await?.is_some() {
            return Err(Error::Invalid { errors });
        }
    }
}

/// What was used, as the run's next step.
async fn used(ctx: &Ctx, run: &task_run::Model, usage: Option<&ReportedUsage>) -> Result<Progress> {
    let Some(usage) = usage else { return Ok(Progress::default()) };
    let (step, event) = usage::step(ctx, run, run.step_count.saturating_add(1), usage).await?;
    Ok(Progress { steps: vec![step], events: vec![event] })
}

/// The journal's entry of the call that a run of a tool is.
async fn handed_back(
    ctx: &Ctx,
    run: &task_run::Model,
    result: Result<&Value, (&str, &str)>,
) -> Result<Option<Progress>> {
    let Some(id) = run.tool_id.filter(|_| run.agent_id.is_none()) else { return Ok(None) };
    // Also one that was deleted meanwhile: the call was made.
    let db = ctx.db();
    let row = db.everywhere::<tool::Entity>().filter(tool::Column::Id.eq(id)).one().await?;
    let tool = Tool::new(row.ok_or(Error::not_found("tool"))?)?;
    let steps = db.find::<run_step::Entity>().filter(run_step::Column::RunId.eq(run.id));
    let open = steps.filter(run_step::Column::Status.eq(run_step::StepStatus::Started)).all().await?;
    let latency = (ctx.core.clock.now() - started(run)).to_std().unwrap_or_default();
    Ok(Some(tool_run::remote::hand_back(run, &tool, &open, result, latency)))
}

/// Closes the intent of a call that the worker did not make, so that nobody is asked what became of it.
pub(super) async fn not_made(ctx: &Ctx, run: &task_run::Model, code: &str) -> Result<Progress> {
    if run.step_count == 0 {
        return Ok(Progress::default());
    }
    let closed =
        handed_back(ctx, run, Err((code, "The worker gave the attempt up before it made the call."))).await?;
    let is_intent = |progress: &Progress| progress.steps.iter().all(|step| step.number <= run.step_count);
    let mut progress = closed.filter(is_intent).unwrap_or_default();
    progress.steps.iter_mut().for_each(|step| step.cost = Nanos::ZERO);
    progress.events = progress.steps.iter().map(usage::completed).collect();
    Ok(progress)
}

/// When the attempt was claimed, near enough: its deadline less its length.
fn started(run: &task_run::Model) -> chrono::DateTime<chrono::Utc> {
    let length = chrono::TimeDelta::seconds(i64::from(RunPolicy::of(run).timeouts.attempt_seconds));
    run.attempt_deadline_at.map_or(run.updated_at, |deadline| deadline - length)
}

/// `then` behind `first`, whose steps take the numbers that `then` was made for.
fn after(first: Progress, then: Progress) -> Progress {
    let Progress { mut steps, mut events } = first;
    let last = steps.iter().map(|step| step.number).max().unwrap_or(0);
    for mut step in then.steps {
        step.number = step.number.max(last.saturating_add(1));
        step.turn = step.number;
        events.push(usage::completed(&step));
        steps.push(step);
    }
    Progress { steps, events }
}
