//! The same call where a worker makes it: handed out with the run, and journaled when it is handed back.
//!
//! Invariant: as here, a call that changes something has a written intent before the worker has it, so that
//! a worker which vanished is followed by the same questions as a node.

use std::time::Duration;

use entity::agents::tool::SideEffect;
use entity::tasks::run_step::{self, StepKind, StepStatus};
use entity::tasks::task_run;
use serde_json::{Value, json};

use super::super::call::{self, Call, Tool};
use crate::engine::policy::RunPolicy;
use crate::engine::{Attempt, Outcome, Progress, Step};

/// What the worker is given.
pub struct HandedOut {
    pub arguments: Value,
    pub effect_key: String,
}

/// The call of this attempt, or the attempt's end where the journal or a person has settled it.
pub async fn hand_out(attempt: &dyn Attempt, tool: &Tool) -> Result<HandedOut, Outcome> {
    let mut pending = Progress::default();
    match super::ready(attempt, tool, &RunPolicy::of(attempt.run()), &mut pending).await {
        // What a safe call has to tell is told when it is handed back.
        Ok(Call { arguments, effect_key, .. }) => Ok(HandedOut { arguments, effect_key }),
        Err(end) => Err(end.with(pending)),
    }
}

/// What is journaled of a call that the worker made: its output, or code and message of its failure.
pub fn hand_back(
    run: &task_run::Model,
    tool: &Tool,
    journal: &[run_step::Model],
    result: Result<&Value, (&str, &str)>,
    latency: Duration,
) -> Progress {
    let mut progress = Progress::default();
    let written = journal.iter().rev().find(|step| {
        tool.row.side_effect != SideEffect::Safe
            && step.kind == StepKind::Tool
            && step.status == StepStatus::Started
    });
    let call = match written {
        Some(step) => Call {
            number: step.number,
            effect_key: step.effect_key.clone().unwrap_or_default(),
            ..super::first(run, step.request.get("arguments").cloned().unwrap_or_default())
        },
        None => {
            // They were rendered when the call was handed out.
            let arguments = super::arguments(&run.input, &RunPolicy::of(run)).unwrap_or_default();
            let call = Call { number: run.step_count.saturating_add(1), ..super::first(run, arguments) };
            progress.events.push(call::called(tool, &call));
            call
        }
    };
    let (status, response) = match result {
        Ok(output) => (StepStatus::Completed, json!({"output": output})),
        Err((code, message)) => (StepStatus::Failed, call::error(code, message)),
    };
    let cost = tool.row.cost_per_call_nanos;
    let step = Step { status, response: Some(response), cost, latency, ..call::intent(tool, &call) };
    progress.events.push(call::ended(&step));
    progress.steps.push(step);
    progress
}
