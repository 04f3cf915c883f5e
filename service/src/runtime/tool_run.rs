//! A run of a single tool, from a definition or a direct invocation.
//!
//! Invariants: a safe call is one commit, the step riding in the outcome; anything else has a written
//! intent before it is made, and a tool marked ONCE is made again only after a person said so.

pub mod remote;
#[cfg(test)]
mod tests;

use std::time::Duration;

use entity::agents::tool::SideEffect;
use entity::tasks::run_step::{self, StepKind, StepStatus};
use entity::tasks::task_run::{self, RunReason};
use serde_json::{Value, json};

use super::call::{self, Call, Tool};
use super::decision::{self, Answer};
use super::end::{End, Flow};
use crate::engine::policy::RunPolicy;
use crate::engine::{Attempt, Outcome, Progress, RunError, Step};
use crate::error::Result;
use crate::runtime::tools::ToolOutcome;
use crate::templates::{Context, Template};

/// Runs the tool to the end of the attempt.
pub async fn run(attempt: &dyn Attempt, tool: &Tool) -> Outcome {
    let mut pending = Progress::default();
    let Err(end) = execute(attempt, tool, &mut pending).await;
    end.with(pending)
}

async fn execute(
    attempt: &dyn Attempt,
    tool: &Tool,
    pending: &mut Progress,
) -> Result<std::convert::Infallible, End> {
    let policy = RunPolicy::of(attempt.run());
    let call = ready(attempt, tool, &policy, pending).await?;
    let done = call::make(attempt, attempt.deadline(), tool, &call).await?;
    if let ToolOutcome::Failure(failure) = &done.outcome
        && failure.outcome_unknown
        && tool.row.side_effect == SideEffect::Once
    {
        return Err(call::review(tool, &call, &failure.message));
    }
    let step = call::outcome(tool, &call, &done);
    pending.events.push(call::ended(&step));
    pending.steps.push(step);
    Err(match done.outcome {
        ToolOutcome::Success { output } => completed(attempt, &policy, output).await?,
        ToolOutcome::Failure(failure) => End::Failed(RunError {
            reason: if failure.retryable { RunReason::Error } else { RunReason::NonRetryable },
            code: failure.code.to_owned(),
            message: failure.message,
            retryable: failure.retryable,
            retry_after: None,
        }),
    })
}

/// The call to make now, its intent written where a repetition would matter.
async fn ready(attempt: &dyn Attempt, tool: &Tool, policy: &RunPolicy, pending: &mut Progress) -> Flow<Call> {
    let arguments = arguments(&attempt.run().input, policy)?;
    check(attempt, tool, &arguments).await?;
    if let Some(stop) = attempt.stopped() {
        return Err(stop.into());
    }
    let (call, is_written) = next(attempt, tool, arguments, pending).await?;
    if !is_written {
        pending.events.push(call::called(tool, &call));
    }
    if tool.row.side_effect != SideEffect::Safe {
        if !is_written {
            pending.steps.push(call::intent(tool, &call));
        }
        attempt.record(std::mem::take(pending)).await?;
    }
    Ok(call)
}

/// The arguments: the policy's template over `{input}`, else the input itself.
fn arguments(input: &Value, policy: &RunPolicy) -> Flow<Value> {
    let Some(template) = &policy.arguments else { return Ok(input.clone()) };
    let context = Context::from(&json!({"input": input}));
    let template = Template::compile(template, "/arguments")?;
    template
        .render(&context)
        .map_err(|error| End::failed(RunReason::NonRetryable, "invalid_arguments", error.to_string()))
}

async fn check(attempt: &dyn Attempt, tool: &Tool, arguments: &Value) -> Flow {
    let schema = attempt.core().schemas.get(&tool.row.schema).await?;
    schema
        .check(arguments, "")
        .map_err(|errors| End::failed(RunReason::NonRetryable, "invalid_arguments", call::explain(&errors)))
}

/// The call to make now, and whether its intent is written already. Ends the attempt where the
/// journal or a person has settled it.
async fn next(
    attempt: &dyn Attempt,
    tool: &Tool,
    arguments: Value,
    pending: &mut Progress,
) -> Flow<(Call, bool)> {
    let run = attempt.run();
    let mut call = first(run, arguments);
    if run.attempt <= 1 && run.step_count == 0 {
        return Ok((call, false));
    }
    let journal = attempt.journal().await?;
    // A worker may have journaled steps of its own.
    call.number = run.step_count.saturating_add(1);
    let Some(last) = journal.iter().rev().find(|step| step.kind == StepKind::Tool) else {
        return Ok((call, false));
    };
    match (last.status, tool.row.side_effect) {
        (StepStatus::Completed, _) => {
            let output = last.response.as_ref().and_then(|response| response.get("output"));
            Err(completed(attempt, &RunPolicy::of(run), output.cloned().unwrap_or_default()).await?)
        }
        (StepStatus::Started, SideEffect::Safe | SideEffect::Keyed) => {
            call.number = last.number;
            Ok((call, true))
        }
        (StepStatus::Started, SideEffect::Once) => {
            call.number = last.number;
            call.arguments = last.request.get("arguments").cloned().unwrap_or_default();
            reviewed(attempt, tool, call, last, pending).await.map(|call| (call, false))
        }
        (StepStatus::Failed, _) => Ok((call, false)),
    }
}

/// The one call of a run: every attempt at it has the same key.
fn first(run: &task_run::Model, arguments: Value) -> Call {
    let effect_key = format!("{}:1:0", run.id);
    Call { number: 1, turn: 1, call_id: None, effect_key, arguments, note: None }
}

/// A call marked ONCE whose outcome nobody knows: made again, settled, or put before a person.
async fn reviewed(
    attempt: &dyn Attempt,
    tool: &Tool,
    call: Call,
    intent: &run_step::Model,
    pending: &mut Progress,
) -> Flow<Call> {
    let decisions = attempt.decisions().await?;
    let unknown = |message: &str| {
        let response = Some(call::error("outcome_unknown", message));
        Step { status: StepStatus::Failed, response, latency: Duration::ZERO, ..call::intent(tool, &call) }
    };
    match decision::review(&decisions, intent.number)? {
        None => {
            let why = "The executor vanished after the call had been started; its outcome was not recorded.";
            Err(call::review(tool, &call, why))
        }
        Some(Answer::Approved(decision)) => {
            pending.steps.push(unknown("Made again after a review."));
            let (arguments, note) = decision.edit(call.arguments.clone());
            check(attempt, tool, &arguments).await?;
            Ok(Call { number: attempt.run().step_count.saturating_add(1), arguments, note, ..call })
        }
        Some(Answer::Rejected(decision)) => {
            if let Some(output) = decision.output {
                let response = Some(json!({"output": output}));
                pending.steps.push(Step { response, status: StepStatus::Completed, ..unknown("") });
                return Err(completed(attempt, &RunPolicy::of(attempt.run()), output).await?);
            }
            let message = decision.reason("Not repeated; whether it had an effect is not known");
            pending.steps.push(unknown(&message));
            Err(End::failed(RunReason::ApprovalRejected, "outcome_unknown", message))
        }
        Some(Answer::Expired) => {
            let message = "Nobody reviewed the call in time; it is not repeated.";
            pending.steps.push(unknown(message));
            Err(End::failed(RunReason::ApprovalExpired, "outcome_unknown", message))
        }
    }
}

/// The end of a run whose tool gave this output.
async fn completed(attempt: &dyn Attempt, policy: &RunPolicy, output: Value) -> Flow<End> {
    if let Some(schema) = &policy.output_schema {
        let schema = attempt.core().schemas.get(schema).await?;
        if let Err(errors) = schema.check(&output, "") {
            let message = format!("The output does not fit its schema:\n{}", call::explain(&errors));
            return Ok(End::failed(RunReason::InvalidOutput, "invalid_output", message));
        }
    }
    Ok(End::Completed { reason: RunReason::Output, output })
}
