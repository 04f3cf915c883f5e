//! The children of runs: what a run may start while it runs, and what its children get from it.
//!
//! A child belongs to its parent's tenant and workspace, and has its priority and its author; it may use no more
//! time than its parent has left, and no more money than its share of what the tree has left.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::task_run::{Model, RunStatus};
use sea_orm::ColumnTrait as _;
use serde_json::Value;

use super::targets::{self, Target, Wanted};
use super::task_runs::{check_input, new_run};
use crate::core::Core;
use crate::ctx::{Automation, Ctx};
use crate::engine::policy::{CallApproval, RetryPolicy, RunPolicy, Timeouts};
use crate::engine::transitions::order_key;
use crate::error::{Error, Result};

/// Children of one run, over all its attempts.
pub const MOST_CHILDREN: usize = 100;
/// Runs of one tree, looked at before more are started: siblings that start theirs at the same time may come
/// out above it by what they start.
const MOST_IN_TREE: u64 = 1_000;
/// How deep trees are, unless an agent's limits say otherwise.
const DEPTH: i32 = 4;

/// A child to start.
#[derive(Clone, Debug)]
pub struct Child {
    /// What it is to its parent: one child has it, however often it is asked for.
    pub key: String,
    pub wanted: Wanted,
    pub input: Value,
    /// Instead of what its definition says.
    pub retry: Option<RetryPolicy>,
    pub timeouts: Option<Timeouts>,
    /// Of a call.
    pub approval: Option<CallApproval>,
    /// Its failure is no reason to retry it with its parent.
    pub is_tolerated: bool,
    /// What it may cost with its own children.
    pub max_cost: Option<Nanos>,
}

impl Child {
    pub fn new(key: impl Into<String>, wanted: Wanted, input: Value) -> Self {
        Self {
            key: key.into(),
            wanted,
            input,
            retry: None,
            timeouts: None,
            approval: None,
            is_tolerated: false,
            max_cost: None,
        }
    }
}

/// The child as a PENDING run of this parent, admitted like any other run.
///
/// # Errors
/// What `POST /v1/task-runs` answers, and 409 `too_deep`.
pub async fn prepare(core: &Core, parent: &Model, child: Child) -> Result<Model> {
    let Child { key, wanted, input, retry, timeouts, approval, is_tolerated, max_cost } = child;
    let own = RunPolicy::of(parent);
    if parent.depth >= own.max_depth.unwrap_or(DEPTH) {
        let message = format!("Runs start runs {} levels deep here, and no deeper.", parent.depth);
        return Err(Error::conflict("too_deep", message));
    }
    let ctx = Ctx::automation(core, parent.tenant_id, Automation::Run, parent.id, "start_child_run");
    let target = targets::resolve(&ctx, wanted).await?;
    check_input(&target, &input)?;
    let run = new_run(&ctx, &target, input)?;
    let policy = RunPolicy {
        retry: retry.unwrap_or_else(|| target.policy.retry.clone()),
        timeouts: within(allowed(&target, timeouts), parent, run.created_at),
        max_cost: [max_cost, own.max_cost, target.policy.max_cost].into_iter().flatten().min(),
        max_depth: depth(&target, &own, parent.depth + 1),
        approval: approval.or(target.policy.approval),
        is_tolerated,
        ..target.policy.clone()
    };
    let mut run = Model {
        workspace_id: parent.workspace_id.or(target.workspace_id),
        policy: serde_json::to_value(&policy).map_err(Error::internal)?,
        priority: parent.priority,
        order_key: order_key(run.available_at, parent.priority),
        parent_run_id: Some(parent.id),
        root_run_id: Some(parent.root_run_id.unwrap_or(parent.id)),
        depth: parent.depth + 1,
        child_key: Some(key),
        created_by: parent.created_by.clone(),
        ..run
    };
    target.stamp(&mut run)?;
    // Its parent waits for this run, and for no other that has the key.
    run.dedupe_key = None;
    Ok(run)
}

/// What is asked for, or the target's own. An attempt of a worker at a call takes no longer than its tool allows.
fn allowed(target: &Target, asked: Option<Timeouts>) -> Timeouts {
    let own = target.policy.timeouts;
    let Some(mut timeouts) = asked else { return own };
    if target.capability.is_some() && target.agent.is_none() {
        timeouts.attempt_seconds = timeouts.attempt_seconds.min(own.attempt_seconds);
    }
    timeouts
}

/// No more time than the parent has left; waiting does not count, for either.
fn within(mut timeouts: Timeouts, parent: &Model, now: DateTime<Utc>) -> Timeouts {
    let left = parent.deadline_at.map(|deadline| (deadline - now).num_seconds().max(1));
    let left = left.and_then(|left| u32::try_from(left).ok()).unwrap_or(u32::MAX);
    timeouts.total_seconds = timeouts.total_seconds.min(left);
    timeouts
}

/// The deepest level of the tree that the child may reach: it has its own limit, and goes no deeper than its
/// parent could.
fn depth(target: &Target, parent: &RunPolicy, own: i32) -> Option<i32> {
    let levels = target.policy.max_depth.unwrap_or(DEPTH);
    Some(own.saturating_add(levels).min(parent.max_depth.unwrap_or(DEPTH)))
}

/// Whether the tree has room for `more` runs.
///
/// # Errors
/// 409 `too_many_children`, `tree_too_large`.
pub async fn check_room(core: &Core, parent: &Model, more: usize) -> Result<()> {
    let children = usize::try_from(parent.children).unwrap_or(0);
    if children.saturating_add(more) > MOST_CHILDREN {
        let message = format!("A run has at most {MOST_CHILDREN} children.");
        return Err(Error::conflict("too_many_children", message));
    }
    let root = parent.root_run_id.unwrap_or(parent.id);
    let db = core.db.tenant(parent.tenant_id);
    let tree = db.everywhere::<entity::tasks::task_run::Entity>();
    let tree = tree.filter(entity::tasks::task_run::Column::RootRunId.eq(root));
    if tree.count(MOST_IN_TREE).await? >= MOST_IN_TREE {
        let message = format!("A tree has at most {MOST_IN_TREE} runs.");
        return Err(Error::conflict("tree_too_large", message));
    }
    Ok(())
}

/// An equal share for each of `count` children that start now: of the limit, less what the run and its children
/// have cost and what those that are live may still cost. `None` without a limit.
pub fn share(
    limit: Option<Nanos>,
    parent: &Model,
    own_cost: Nanos,
    live: &[&Model],
    count: usize,
) -> Option<Nanos> {
    let limit = limit?;
    let promised: Nanos = live.iter().filter_map(|run| RunPolicy::max_cost(run)).sum();
    let left = limit.0 - own_cost.0 - parent.child_cost_nanos.0 - promised.0;
    let count = i64::try_from(count).unwrap_or(i64::MAX).max(1);
    Some(Nanos(left.max(0) / count))
}

/// How a child stands, for its parent.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildState {
    Live,
    Completed(Value),
    Failed { code: String, message: String },
}

impl ChildState {
    pub fn of(run: &Model) -> Self {
        match run.status {
            RunStatus::Completed => Self::Completed(run.output.clone().unwrap_or_default()),
            RunStatus::Failed | RunStatus::Cancelled => {
                let said = |name: &str| {
                    let error = run.error.as_ref().filter(|_| run.status == RunStatus::Failed)?;
                    error.get(name)?.as_str().map(str::to_owned)
                };
                let code = said("code").unwrap_or_else(|| "cancelled".to_owned());
                let message = said("message").unwrap_or_else(|| "The child run was cancelled.".to_owned());
                Self::Failed { code, message }
            }
            RunStatus::Pending | RunStatus::Running | RunStatus::Waiting => Self::Live,
        }
    }
}

/// A refusal as code and sentence; what is a failure of the platform stays an error.
pub fn refusal(error: Error) -> Result<(String, String)> {
    let code = match &error {
        Error::Internal(_) | Error::Unavailable { .. } | Error::RateLimited { .. } => return Err(error),
        Error::Denied { code, .. } | Error::Conflict { code, .. } | Error::PaymentRequired { code, .. } => {
            (*code).to_owned()
        }
        Error::Invalid { errors } => {
            errors.first().map_or_else(|| "invalid".to_owned(), |error| error.code.clone().into_owned())
        }
        _ => "refused".to_owned(),
    };
    let message = match &error {
        Error::Invalid { errors } => errors
            .iter()
            .map(|error| format!("{}: {}", error.pointer, error.message))
            .collect::<Vec<_>>()
            .join("\n"),
        other => other.to_string(),
    };
    Ok((code, message))
}
