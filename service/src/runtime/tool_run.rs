//! A run of a single tool, from a definition or a direct invocation.
//!
//! Invariants: a safe call is one commit, the step riding in the outcome; anything else has a written
//! intent before it is made, and a tool marked ONCE is made again only after a person said so.

pub mod remote;
#[cfg(test)]
mod tests;

use std::time::Duration;

use entity::agents::tool::SideEffect;
use entity::tasks::approval::{self, ApprovalKind, ApprovalStatus};
use entity::tasks::run_step::{self, StepKind, StepStatus};
use entity::tasks::task_run::{self, RunReason};
use serde_json::{Value, json};

use super::call::{self, Call, Done, Tool};
use super::decision::{self, Answer};
use super::end::{End, Flow};
use super::waiting::{self, Settled};
use crate::engine::policy::{CallApproval, RunPolicy};
use crate::engine::{Attempt, Outcome, Progress, Question, RunError, Spawn, Step, Wake};
use crate::error::{Error, Result};
use crate::runtime::tools::{ToolFailure, ToolOutcome};
use crate::tasks::children::{self, Child, ChildState};
use crate::tasks::targets::Wanted;
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
    end(attempt, tool, &call, done, pending).await
}

/// Journals the outcome of the call, which is the run's.
async fn end(
    attempt: &dyn Attempt,
    tool: &Tool,
    call: &Call,
    done: Done,
    pending: &mut Progress,
) -> Result<std::convert::Infallible, End> {
    close(pending, call::outcome(tool, call, &done));
    Err(match done.outcome {
        ToolOutcome::Success { output } => completed(attempt, &RunPolicy::of(attempt.run()), output).await?,
        ToolOutcome::Failure(failure) => End::Failed(RunError {
            reason: if failure.retryable { RunReason::Error } else { RunReason::NonRetryable },
            code: failure.code.to_owned(),
            message: failure.message,
            retryable: failure.retryable,
            retry_after: None,
        }),
    })
}

/// A call that is waited for: registered, or ended with what came.
async fn wait(
    attempt: &dyn Attempt,
    tool: &Tool,
    call: &Call,
    is_written: bool,
    pending: &mut Progress,
) -> Result<std::convert::Infallible, End> {
    let settled = if is_written { waiting::settled(&attempt.waits().await?, call.number)? } else { None };
    let outcome = match settled {
        Some(Settled::Answered(output)) => ToolOutcome::Success { output },
        Some(Settled::Expired(message)) => ToolOutcome::Failure(ToolFailure::new(waiting::EXPIRED, message)),
        None => match tool.config.wait(call.number, &call.arguments, attempt.core().clock.now()) {
            Some(Ok(wait)) => {
                if !is_written {
                    pending.steps.push(call::intent(tool, call));
                }
                return Err(End::Waits { waits: vec![wait] });
            }
            Some(Err(failure)) => ToolOutcome::Failure(failure),
            None => return Err(Error::internal("a tool that waits says for what").into()),
        },
    };
    end(attempt, tool, call, Done { outcome, latency: Duration::ZERO }, pending).await
}

fn close(pending: &mut Progress, step: Step) {
    pending.events.push(call::ended(&step));
    pending.steps.push(step);
}

/// A call that is a child run: started once, then waited for, then journaled.
async fn delegate(
    attempt: &dyn Attempt,
    tool: &Tool,
    wanted: Wanted,
    call: Call,
    is_written: bool,
    pending: &mut Progress,
) -> Flow<End> {
    let (core, run) = (attempt.core(), attempt.run());
    let policy = RunPolicy::of(run);
    let children = attempt.children().await?;
    if let Some(child) =
        children.iter().find(|child| child.child_key.as_deref() == Some(call::child_key(&call)))
    {
        let Some(step) = call::returned(tool, &call, child) else {
            return Ok(End::Delegated(Spawn::default()));
        };
        close(pending, step);
        return match ChildState::of(child) {
            ChildState::Completed(output) => completed(attempt, &policy, output).await,
            ChildState::Failed { code, message } => {
                Ok(End::failed(RunReason::DependencyFailed, &code, message))
            }
            ChildState::Live => Ok(End::Delegated(Spawn::default())),
        };
    }
    let max_cost = children::share(policy.max_cost, run, run.cost_nanos, &[], 1);
    let child = Child { max_cost, ..Child::new(call::child_key(&call), wanted, call.arguments.clone()) };
    let prepared = match children::check_room(core, run, 1).await {
        Ok(()) => children::prepare(core, run, child).await,
        Err(error) => Err(error),
    };
    match prepared {
        Ok(child) => {
            if !is_written {
                pending.steps.push(call::intent(tool, &call));
            }
            Ok(End::Delegated(Spawn { children: vec![child], wake: Wake::ALL }))
        }
        Err(error) => {
            let (code, message) = children::refusal(error)?;
            Ok(End::failed(RunReason::NonRetryable, &code, message))
        }
    }
}

/// The call to make now, its intent written where a repetition would matter. Ends the attempt where the call is a
/// child run or a wait, whoever holds it.
async fn ready(attempt: &dyn Attempt, tool: &Tool, policy: &RunPolicy, pending: &mut Progress) -> Flow<Call> {
    let arguments = arguments(&attempt.run().input, policy)?;
    check(attempt, tool, &arguments).await?;
    if let Some(stop) = attempt.stopped() {
        return Err(stop.into());
    }
    let (call, begun) = next(attempt, tool, arguments, pending).await?;
    let is_written = begun == Begun::Written;
    if policy.max_cost.is_some_and(|most| tool.row.cost_per_call_nanos > most) {
        let message = "A call costs more than the run may.";
        return Err(End::failed(RunReason::BudgetExceeded, "max_cost", message));
    }
    let call = match policy.approval.filter(|_| begun == Begun::Not) {
        Some(approval) => approved(attempt, tool, call, approval, pending).await?,
        None => call,
    };
    if let Some(wanted) = tool.child_of_run() {
        return Err(delegate(attempt, tool, wanted, call, is_written, pending).await?);
    }
    if !is_written {
        pending.events.push(call::called(tool, &call));
    }
    if tool.config.is_wait() {
        let Err(end) = wait(attempt, tool, &call, is_written, pending).await;
        return Err(end);
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

/// What the journal says of the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Not,
    /// Its intent is written.
    Written,
    /// A person said that it is made again.
    Again,
}

/// The call to make now. Ends the attempt where the journal or a person has settled it.
async fn next(
    attempt: &dyn Attempt,
    tool: &Tool,
    arguments: Value,
    pending: &mut Progress,
) -> Flow<(Call, Begun)> {
    let run = attempt.run();
    let mut call = first(run, arguments);
    if run.attempt <= 1 && run.step_count == 0 {
        return Ok((call, Begun::Not));
    }
    let journal = attempt.journal().await?;
    // A worker may have journaled steps of its own, which are of no tool.
    call.number = run.step_count.saturating_add(1);
    let is_call = |step: &&run_step::Model| {
        step.tool_id.is_some() && matches!(step.kind, StepKind::Tool | StepKind::Agent | StepKind::Wait)
    };
    let Some(last) = journal.iter().rev().find(is_call) else {
        return Ok((call, Begun::Not));
    };
    match (last.status, tool.row.side_effect) {
        (StepStatus::Completed, _) => {
            let output = last.response.as_ref().and_then(|response| response.get("output"));
            Err(completed(attempt, &RunPolicy::of(run), output.cloned().unwrap_or_default()).await?)
        }
        (StepStatus::Started, _) if tool.config.is_wait() => {
            call.number = last.number;
            call.arguments = last.request.get("arguments").cloned().unwrap_or_default();
            Ok((call, Begun::Written))
        }
        (StepStatus::Started, SideEffect::Once) if tool.child_of_run().is_none() => {
            call.number = last.number;
            call.arguments = last.request.get("arguments").cloned().unwrap_or_default();
            reviewed(attempt, tool, call, last, pending).await.map(|call| (call, Begun::Again))
        }
        (StepStatus::Started, _) => {
            call.number = last.number;
            Ok((call, Begun::Written))
        }
        (StepStatus::Failed | StepStatus::Skipped, _) => Ok((call, Begun::Not)),
    }
}

/// The call as a person approved it; else they are asked, or it is not made. One approval is good for every attempt.
async fn approved(
    attempt: &dyn Attempt,
    tool: &Tool,
    call: Call,
    approval: CallApproval,
    pending: &mut Progress,
) -> Flow<Call> {
    let decisions = attempt.decisions().await?;
    let of_call = |asked: &approval::Model| {
        let is_good = asked.status == ApprovalStatus::Approved || asked.step_number == call.number;
        asked.kind == ApprovalKind::Tool && is_good
    };
    let (reason, code, message) = match decision::answer(&decisions, of_call)? {
        None => {
            let question = Question {
                on_expire: approval.on_expire,
                expires_in: Duration::from_secs(approval.expires_in_seconds.into()),
                ..call::question(
                    &tool.row.name,
                    tool.row.id,
                    call.call_id.as_deref(),
                    call.number,
                    &call.arguments,
                )
            };
            return Err(End::Asked { reason: RunReason::Approval, questions: vec![question] });
        }
        Some(Answer::Approved(decision)) => {
            let (arguments, note) = decision.edit(call.arguments.clone());
            check(attempt, tool, &arguments).await?;
            return Ok(Call { arguments, note, ..call });
        }
        Some(Answer::Rejected(decision)) => {
            (RunReason::ApprovalRejected, "approval_rejected", decision.reason("The call was not approved"))
        }
        Some(Answer::Expired) => {
            let message = "Nobody approved the call in time.".to_owned();
            (RunReason::ApprovalExpired, "approval_expired", message)
        }
    };
    let response = Some(call::error(code, &message));
    close(
        pending,
        Step { status: StepStatus::Failed, response, latency: Duration::ZERO, ..call::intent(tool, &call) },
    );
    Err(End::failed(reason, code, message))
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
            close(pending, unknown("Made again after a review."));
            let (arguments, note) = decision.edit(call.arguments.clone());
            check(attempt, tool, &arguments).await?;
            Ok(Call { number: attempt.run().step_count.saturating_add(1), arguments, note, ..call })
        }
        Some(Answer::Rejected(decision)) => {
            if let Some(output) = decision.output {
                let response = Some(json!({"output": output}));
                close(pending, Step { response, status: StepStatus::Completed, ..unknown("") });
                return Err(completed(attempt, &RunPolicy::of(attempt.run()), output).await?);
            }
            let message = decision.reason("Not repeated; whether it had an effect is not known");
            close(pending, unknown(&message));
            Err(End::failed(RunReason::ApprovalRejected, "outcome_unknown", message))
        }
        Some(Answer::Expired) => {
            let message = "Nobody reviewed the call in time; it is not repeated.";
            close(pending, unknown(message));
            Err(End::failed(RunReason::ApprovalExpired, "outcome_unknown", message))
        }
    }
}

/// The end of a run whose tool, or graph, gave this output.
pub(super) async fn completed(attempt: &dyn Attempt, policy: &RunPolicy, output: Value) -> Flow<End> {
    if let Some(schema) = &policy.output_schema {
        let schema = attempt.core().schemas.get(schema).await?;
        if let Err(errors) = schema.check(&output, "") {
            let message = format!("The output does not fit its schema:\n{}", call::explain(&errors));
            return Ok(End::failed(RunReason::InvalidOutput, "invalid_output", message));
        }
    }
    Ok(End::Completed { reason: RunReason::Output, output })
}
