//! The final answer: text, or JSON that fits the schema, with one chance to repair it.

use entity::tasks::task_run::RunReason;
use serde_json::{Value, json};

use super::history::Turn;
use super::plan::Plan;
use super::session::Session;
use crate::runtime::call;
use crate::runtime::end::{End, Flow};

/// Ends the run with the last turn's text, or lets the model repair it once.
pub(super) fn answer(session: &mut Session<'_>) -> Flow {
    let Some((turn, earlier)) = session.history.turns.split_last() else { return Ok(()) };
    if turn.stop_reason.as_deref() == Some("CONTENT_FILTER") {
        let message = "The provider's content policy stopped the answer.";
        return Err(End::failed(RunReason::ProviderError, "content_filtered", message));
    }
    match check(session.plan, turn) {
        Ok(output) => Err(End::Completed { reason: RunReason::EndTurn, output }),
        Err(errors) if earlier.iter().any(|turn| turn.calls.is_empty()) => Err(invalid(&errors)),
        Err(errors) => {
            let data = json!({"step": turn.step, "errors": call::preview(&Value::String(errors))});
            session.event("output.repaired", data);
            Ok(())
        }
    }
}

/// The end of a run that used all its turns: the last text there is.
pub(super) fn at_limit(session: &Session<'_>) -> End {
    let spoke = |turn: &&Turn| turn.content.as_ref().is_some_and(|text| !text.is_empty());
    let turn = session.history.turns.iter().rev().find(spoke);
    match (turn.map(|turn| check(session.plan, turn)), &session.plan.output) {
        (Some(Ok(output)), _) => End::Completed { reason: RunReason::MaxSteps, output },
        (None, None) => End::Completed { reason: RunReason::MaxSteps, output: Value::Null },
        (Some(Err(errors)), _) => invalid(&errors),
        (None, Some(_)) => invalid("There is no answer after the last allowed turn."),
    }
}

/// The end of a run by a terminal tool.
pub(super) fn terminal(plan: &Plan, output: &Value) -> End {
    match fits(plan, output) {
        Ok(()) => End::Completed { reason: RunReason::TerminalTool, output: output.clone() },
        Err(errors) => invalid(&errors),
    }
}

/// What the model is told about an answer that has to be repaired.
pub(super) fn repair(plan: &Plan, turn: &Turn) -> Option<String> {
    let errors = check(plan, turn).err()?;
    Some(format!(
        "Your answer does not fit its schema:\n{errors}\nAnswer again with the corrected JSON alone."
    ))
}

fn check(plan: &Plan, turn: &Turn) -> Result<Value, String> {
    let text = turn.content.as_deref().unwrap_or_default();
    if plan.output.is_none() {
        return Ok(Value::String(text.to_owned()));
    }
    let value = serde_json::from_str(text).map_err(|error| format!("- It is not JSON: {error}."))?;
    fits(plan, &value).map(|()| value)
}

fn fits(plan: &Plan, value: &Value) -> Result<(), String> {
    let Some(output) = &plan.output else { return Ok(()) };
    output.compiled.check(value, "").map_err(|errors| call::explain(&errors))
}

fn invalid(errors: &str) -> End {
    End::failed(
        RunReason::InvalidOutput,
        "invalid_output",
        format!("The output does not fit its schema:\n{errors}"),
    )
}
