//! Carrying out a verdict: intent, call, outcome.
//!
//! Invariant: the journal's numbers have no gap at any commit, because calls are journaled in the
//! order in which the model made them.

use std::time::Duration;

use entity::agents::tool::SideEffect;
use entity::money::Nanos;
use entity::tasks::run_step::{StepKind, StepStatus};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::judge::{Judged, Verdict, Written};
use super::plan::Bound;
use super::session::Session;
use super::{delegation, limits};
use crate::engine::Step;
use crate::runtime::call::{self, Call, Done};
use crate::runtime::end::{End, Flow};
use crate::runtime::models::Usage;
use crate::runtime::rate::{self, Bucket};
use crate::runtime::tools::ToolOutcome;

/// Safe calls at one time.
const SIDE_BY_SIDE: usize = 8;
/// Characters kept of a tool's name that the model made up.
const LONGEST_NAME: usize = 64;

/// Makes calls that may be made twice: no intents, and their outcomes are written together.
pub(super) async fn make_safe(session: &mut Session<'_>, judged: &[Judged]) -> Flow {
    let plan = session.plan;
    let first = session.history.next_step();
    let mut calls: Vec<(&Bound, Call)> = (first..)
        .zip(judged)
        .filter_map(|(number, judged)| {
            let Verdict::Make { tool, .. } = &judged.verdict else { return None };
            Some((plan.tools.get(*tool)?, prepare(session, judged, number)?))
        })
        .collect();
    limits::stop(session)?;
    limits::reserve(session, calls.iter().map(|(bound, _)| bound.tool.row.cost_per_call_nanos).sum())?;
    // Those that have a token are made; the others wait with the run.
    let (mut granted, mut limited) = (0, None);
    for (bound, _) in &calls {
        match token(session, bound).await {
            Err(end @ End::Limited { .. }) => {
                limited = Some(end);
                break;
            }
            other => other?,
        }
        granted += 1;
    }
    calls.truncate(granted);
    session.flush().await?;
    let (attempt, deadline) = (session.attempt, session.deadline);
    let waiting: Vec<_> =
        calls.iter().map(|(bound, call)| call::make(attempt, deadline, &bound.tool, call)).collect();
    let made: Vec<Done> = stream::iter(waiting).buffered(SIDE_BY_SIDE).try_collect().await?;
    for ((bound, call), done) in calls.iter().zip(made) {
        session.push_event(call::called(&bound.tool, call));
        close(session, call::outcome(&bound.tool, call, &done));
    }
    limited.map_or(Ok(()), Err)
}

/// Takes a token of the tool's rate limit, if it has one.
async fn token(session: &Session<'_>, bound: &Bound) -> Flow {
    match Bucket::of_tool(&bound.tool.row) {
        Some(bucket) => rate::take(session.attempt, session.deadline, &bucket).await,
        None => Ok(()),
    }
}

/// Carries out one verdict, whatever it is.
pub(super) async fn make_one(session: &mut Session<'_>, judged: &Judged) -> Flow {
    match &judged.verdict {
        Verdict::Make { tool, written, .. } => {
            let plan = session.plan;
            let Some(bound) = plan.tools.get(*tool) else { return Ok(()) };
            make(session, *tool, bound, judged, written.as_ref()).await
        }
        Verdict::Refuse { code, message, step } => {
            let open = step.as_deref().cloned().unwrap_or_else(|| refused(session, judged));
            let response = Some(call::error(code, message));
            close(session, Step { status: StepStatus::Failed, response, ..open });
            Ok(())
        }
        Verdict::Answer { output, note, step } => {
            let mut response = json!({"output": output});
            if let (Some(members), Some(note)) = (response.as_object_mut(), note) {
                members.insert("note".to_owned(), Value::String(note.clone()));
            }
            close(
                session,
                Step { status: StepStatus::Completed, response: Some(response), ..(**step).clone() },
            );
            Ok(())
        }
        Verdict::Review { tool, step } => {
            let Some(bound) = session.plan.tools.get(*tool) else { return Ok(()) };
            let why = "The executor vanished after the call had been started; its outcome was not recorded.";
            Err(call::review(&bound.tool, &journaled(step), why))
        }
        // Asked before any call of the turn is made.
        Verdict::Ask { .. } => Ok(()),
    }
}

async fn make(
    session: &mut Session<'_>,
    tool: usize,
    bound: &Bound,
    judged: &Judged,
    written: Option<&Written>,
) -> Flow {
    limits::stop(session)?;
    limits::reserve(session, bound.tool.row.cost_per_call_nanos)?;
    if bound.tool.child().is_some() {
        // A worker's function takes its token when its run is claimed.
        if written.is_none() && bound.tool.child_of_run().is_some() {
            token(session, bound).await?;
        }
        let call = match written {
            Some(Written::Same(step)) => Some(journaled(step)),
            _ => prepare(session, judged, session.history.next_step()),
        };
        return match call {
            Some(call) => delegation::delegate(session, tool, bound, call, written.is_some()),
            None => Ok(()),
        };
    }
    // Before an intent is written: what waits for a token has no outcome that nobody knows.
    token(session, bound).await?;
    if let Some(Written::Replaced(step)) = written {
        let response = call::error("outcome_unknown", "Made again after a review.");
        let closed = Step { status: StepStatus::Failed, response: Some(response), ..(**step).clone() };
        close(session, closed);
    }
    let call = match written {
        Some(Written::Same(step)) => Some(journaled(step)),
        _ => prepare(session, judged, session.history.next_step()),
    };
    let Some(call) = call else { return Ok(()) };
    if !matches!(written, Some(Written::Same(_))) {
        session.push(call::intent(&bound.tool, &call));
        session.push_event(call::called(&bound.tool, &call));
    }
    session.flush().await?;
    let done = call::make(session.attempt, session.deadline, &bound.tool, &call).await?;
    match &done.outcome {
        ToolOutcome::Failure(failure)
            if failure.outcome_unknown && bound.tool.row.side_effect == SideEffect::Once =>
        {
            Err(call::review(&bound.tool, &call, &failure.message))
        }
        _ => {
            close(session, call::outcome(&bound.tool, &call, &done));
            Ok(())
        }
    }
}

/// Registers what all the waiting calls among these wait for, with their intents. One whose arguments are not to be
/// waited for is closed, and the turn goes on.
pub(super) fn wait(session: &mut Session<'_>, judged: &[Judged]) -> Flow {
    limits::stop(session)?;
    let (plan, now) = (session.plan, session.attempt.core().clock.now());
    let mut waits = Vec::new();
    for judged in judged.iter().filter(|judged| judged.is_wait(plan)) {
        let Verdict::Make { tool, written, .. } = &judged.verdict else { continue };
        let Some(bound) = plan.tools.get(*tool) else { continue };
        let call = match written {
            Some(Written::Same(step) | Written::Replaced(step)) => Some(journaled(step)),
            None => prepare(session, judged, session.history.next_step()),
        };
        let Some(call) = call else { continue };
        match bound.tool.config.wait(call.number, &call.arguments, now) {
            Some(Ok(wait)) => {
                if written.is_none() {
                    session.push(call::intent(&bound.tool, &call));
                    session.push_event(call::called(&bound.tool, &call));
                }
                waits.push(wait);
            }
            Some(Err(failure)) => {
                let done = Done { outcome: ToolOutcome::Failure(failure), latency: Duration::ZERO };
                close(session, call::outcome(&bound.tool, &call, &done));
            }
            None => {}
        }
    }
    if waits.is_empty() { Ok(()) } else { Err(End::Waits { waits }) }
}

pub(super) fn close(session: &mut Session<'_>, step: Step) {
    let event = call::ended(&step);
    session.push(step);
    session.push_event(event);
}

/// The call of a verdict to make, under a step of this number.
fn prepare(session: &Session<'_>, judged: &Judged, number: i32) -> Option<Call> {
    let Verdict::Make { arguments, note, .. } = &judged.verdict else { return None };
    let turn = session.history.turns.last()?;
    let index = turn.calls.iter().position(|entry| entry.call.id == judged.call_id)?;
    Some(Call {
        number,
        turn: session.history.next_turn() - 1,
        call_id: Some(judged.call_id.clone()),
        // The model's step and the call's place in it: the same whenever this call is made again.
        effect_key: format!("{}:{}:{index}", session.attempt.run().id, turn.step),
        arguments: arguments.clone(),
        note: note.clone(),
    })
}

/// The call of a written intent.
fn journaled(step: &Step) -> Call {
    Call {
        number: step.number,
        turn: step.turn,
        call_id: step.call_id.clone(),
        effect_key: step.effect_key.clone().unwrap_or_default(),
        arguments: step.request.get("arguments").cloned().unwrap_or_default(),
        note: None,
    }
}

/// The journal's entry of a call that is not made.
fn refused(session: &Session<'_>, judged: &Judged) -> Step {
    let tool = session.plan.tool(&judged.name);
    Step {
        number: session.history.next_step(),
        kind: StepKind::Tool,
        status: StepStatus::Failed,
        turn: session.history.next_turn() - 1,
        name: judged.name.chars().take(LONGEST_NAME).collect(),
        tool_id: tool.map(|bound| bound.tool.row.id),
        call_id: Some(judged.call_id.clone()),
        effect_key: None,
        request: json!({}),
        response: None,
        stop_reason: None,
        usage: Usage::default(),
        cost: Nanos::ZERO,
        unpriced: false,
        latency: Duration::ZERO,
    }
}
