//! A run of a graph: plans, starts the children that are due, and waits for them without a slot.
//!
//! Invariants: what comes next is a function of the run and its rows alone ([`plan`]); a step's outcome is
//! journaled once, and from then on its child is not asked any more.

mod journal;
mod names;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;

use entity::tasks::run_step;
use entity::tasks::task_run::{self, RunReason};
use sea_orm::{ColumnTrait as _, Order};

use self::journal::Journal;
use self::plan::{Known, Plan, StepError, Then};
use super::end::{End, Flow};
use super::tool_run;
use crate::engine::policy::RunPolicy;
use crate::engine::{Attempt, Outcome, Progress, Spawn};
use crate::error::Error;
use crate::tasks::children::{self, Child, ChildState, check_room, refusal};
use crate::tasks::graph::{Graph, OnStepError, RunGraph, StepTarget};
use crate::tasks::targets::Wanted;

/// Runs a graph until it waits or ends.
pub async fn run(attempt: &dyn Attempt, stored: &RunGraph, policy: &RunPolicy) -> Outcome {
    let mut pending = Progress::default();
    let Err(end) = execute(attempt, stored, policy, &mut pending).await;
    end.with(pending)
}

async fn execute(
    attempt: &dyn Attempt,
    stored: &RunGraph,
    policy: &RunPolicy,
    pending: &mut Progress,
) -> Result<Infallible, End> {
    let graph = Graph::compile(&stored.steps, stored.output.as_ref(), "/config")?;
    let mut journal = Journal::of(stored, attempt.journal().await?);
    if let Some(from) = stored.from_step.as_deref().filter(|_| journal.is_empty()) {
        copy(attempt, &graph, from, &mut journal).await?;
    }
    let children = attempt.children().await?;
    if let Some(stop) = attempt.stopped() {
        return Err(stop.into());
    }
    let mut known = Known {
        entries: journal.entries(),
        children: children
            .iter()
            .filter_map(|run| Some((run.child_key.clone()?, ChildState::of(run))))
            .collect(),
        refused: HashMap::new(),
    };
    let (plan, started) = loop {
        let plan = plan::plan(&graph, &attempt.run().input, &known);
        let prepared = prepare(attempt, stored, policy, &plan, &children).await?;
        if prepared.refused.is_empty() {
            break (plan, prepared.runs);
        }
        // What cannot be started has failed, and something else may be due because of it.
        known.refused.extend(prepared.refused);
    };
    for record in &plan.records {
        let child = children.iter().find(|run| run.child_key.as_ref() == Some(&record.key));
        journal.end(record, child);
    }
    for run in &started {
        journal.start(run);
    }
    let Progress { steps, events } = journal.into_new();
    pending.steps.extend(steps);
    pending.events.extend(events);
    Err(match plan.then {
        Then::Wait(wake) => End::Delegated(Spawn { children: started, wake }),
        Then::Complete(output) => tool_run::completed(attempt, policy, output).await?,
        Then::Fail { step, error } => {
            let message = format!("Step {step:?} failed ({}): {}", error.code, error.message);
            End::failed(RunReason::DependencyFailed, "step_failed", message)
        }
    })
}

/// Children that can be started, and why others cannot.
#[derive(Default)]
struct Prepared {
    runs: Vec<task_run::Model>,
    refused: HashMap<String, StepError>,
}

async fn prepare(
    attempt: &dyn Attempt,
    stored: &RunGraph,
    policy: &RunPolicy,
    plan: &Plan,
    children: &[task_run::Model],
) -> Flow<Prepared> {
    let mut prepared = Prepared::default();
    if plan.starts.is_empty() {
        return Ok(prepared);
    }
    let (core, run) = (attempt.core(), attempt.run());
    let refuse = |error: Error| refusal(error).map(|(code, message)| StepError { code, message });
    if let Err(error) = check_room(core, run, plan.starts.len()).await {
        let error = refuse(error)?;
        prepared.refused.extend(plan.starts.iter().map(|start| (start.key.clone(), error.clone())));
        return Ok(prepared);
    }
    let live: Vec<_> = children.iter().filter(|run| !run.status.is_terminal()).collect();
    let share = children::share(policy.max_cost, run, run.cost_nanos, &live, plan.starts.len());
    for start in &plan.starts {
        let Some((step, target)) = stored.steps.get(start.node).zip(stored.targets.get(start.node)) else {
            continue;
        };
        let wanted = match *target {
            StepTarget::Tool(id) => Wanted::Tool(id),
            StepTarget::Agent(id) => Wanted::Agent(id),
            StepTarget::Definition(id) => Wanted::Definition(id),
        };
        let child = Child {
            retry: step.retry.clone(),
            timeouts: step.timeouts,
            approval: step.approval,
            is_tolerated: step.on_error == OnStepError::Continue,
            max_cost: share,
            ..Child::new(start.key.clone(), wanted, start.input.clone())
        };
        match children::prepare(core, run, child).await {
            Ok(run) => prepared.runs.push(run),
            Err(error) => {
                prepared.refused.insert(start.key.clone(), refuse(error)?);
            }
        }
    }
    Ok(prepared)
}

/// Takes over what the run that this is a replay of knew of the steps that are not made again.
async fn copy(attempt: &dyn Attempt, graph: &Graph, from: &str, journal: &mut Journal<'_>) -> Flow {
    let gone = || End::failed(RunReason::NonRetryable, "replay_gone", "The run that this replays is gone.");
    let run = attempt.run();
    let old = run.replay_of.ok_or_else(gone)?;
    let again = graph.from(graph.index(from).ok_or_else(gone)?);
    let db = attempt.core().db.tenant(run.tenant_id);
    let steps = db.everywhere::<run_step::Entity>().filter(run_step::Column::RunId.eq(old));
    let steps = steps.order_by(run_step::Column::Number, Order::Asc).all().await?;
    if steps.is_empty() {
        return Err(gone());
    }
    for (index, node) in graph.nodes.iter().enumerate().filter(|(index, _)| !again.contains(index)) {
        let last = steps.iter().rev().find(|step| step.call_id.as_ref() == Some(&node.id));
        if let Some(last) = last {
            journal.copy(index, node, last, old);
        }
    }
    Ok(())
}
