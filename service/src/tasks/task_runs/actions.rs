//! Cancel, retry, replay: each either happens at once or is a 409 that says why not.

use std::sync::Arc;

use entity::agents::{agent, agent_version, tool};
use entity::tasks::task_run::{self, Model, RunReason, RunStatus};
use sea_orm::ColumnTrait as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::create::{Submitted, check_input, new_run, replayed, submit};
use super::{TaskRunView, load};
use crate::agents::snapshot;
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::engine::policy::RunPolicy;
use crate::engine::transitions::{self, CancelOutcome, order_key};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::workspaces::require_open;
use crate::tasks::launch::Launch;
use crate::tasks::targets::{self, Target, Wanted};

const EXECUTING: &str = "SELECT id FROM task_run WHERE tenant_id = $1 AND status = 'RUNNING' \
     AND reason <> 'CANCEL_REQUESTED' ORDER BY id LIMIT $2";
const BATCH: i64 = 200;
const MOST_BATCHES: usize = 100;

/// Ends a queued or waiting run at once, and tells the executor of a running one; asking twice
/// changes nothing.
///
/// # Errors
/// 409 `invalid_transition` for a run that has ended.
pub async fn cancel(ctx: &Ctx, id: Uuid) -> Result<TaskRunView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    require_seen(ctx, id).await?;
    let now = ctx.core.clock.now();
    let by = ctx.actor.to_string();
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    let outcome = transitions::cancel(&tx, ctx.tenant, id, RunReason::ByUser, &by, now).await?;
    let run = match outcome {
        CancelOutcome::Cancelled(run) | CancelOutcome::Requested(run) => *run,
        CancelOutcome::NotLive => {
            drop(tx);
            let run = load(ctx, id).await?;
            if run.reason != RunReason::CancelRequested {
                return Err(not_from(run.status, "cancelled"));
            }
            let view = run.into();
            ctx.keep(&view).await?;
            return Ok(view);
        }
    };
    let view = TaskRunView::from(run.clone());
    transitions::close_questions(&tx, ctx.tenant, id, now).await?;
    ctx.finish(tx, change(&view), &view).await?;
    if run.status == RunStatus::Running {
        ctx.core.engine.cancel_here(id);
    }
    ctx.core.engine.announce(id, run.status);
    if run.children > 0 || run.parent_run_id.is_some() {
        ctx.core.engine.announce_tree();
    }
    Ok(view)
}

/// Tells every executing run of the tenant to end, in bounded transactions; who asks for it has an audit row
/// of their own.
pub(crate) async fn cancel_running(ctx: &Ctx) -> Result<()> {
    let now = ctx.core.clock.now();
    let by = ctx.actor.to_string();
    for _ in 0..MOST_BATCHES {
        let tx = ctx.core.db.system(Reason::Engine).begin().await?;
        let rows = tx.query(EXECUTING, vec![ctx.tenant.into(), BATCH.into()]).await?;
        let mut told = Vec::with_capacity(rows.len());
        for row in &rows {
            let id = row.try_get("", "id")?;
            let reason = RunReason::ByPolicy;
            if let CancelOutcome::Requested(run) | CancelOutcome::Cancelled(run) =
                transitions::cancel(&tx, ctx.tenant, id, reason, &by, now).await?
            {
                transitions::close_questions(&tx, ctx.tenant, id, now).await?;
                told.push((run.id, run.status));
            }
        }
        tx.commit().await?;
        for (run, status) in &told {
            ctx.core.engine.cancel_here(*run);
            ctx.core.engine.announce(*run, *status);
        }
        if told.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Queues a failed or cancelled run again: the same run, with its history and its finished steps. Of its
/// children, those that failed in a graph or ended with their parent are queued again too.
///
/// # Errors
/// 409 `invalid_transition` for a run in another state, `not_retryable` for one whose finished steps
/// decide its failure, `child_run` for a run that another one started, `children_live` while its children
/// still end; 403 while the tenant is not active.
pub async fn retry(ctx: &Ctx, id: Uuid) -> Result<TaskRunView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    require_still_there(ctx, id).await?;
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    let by = ctx.actor.to_string();
    let now = ctx.core.clock.now();
    let Some(run) = transitions::retry(&tx, ctx.tenant, id, &by, now).await? else {
        drop(tx);
        let run = load(ctx, id).await?;
        return Err(why_not_retried(&run));
    };
    transitions::reopen_questions(&tx, ctx.tenant, id, now).await?;
    let view = TaskRunView::from(run.clone());
    ctx.finish(tx, change(&view), &view).await?;
    ctx.core.engine.announce(id, RunStatus::Pending);
    ctx.core.engine.call_worker(&run);
    Ok(view)
}

/// Why a retry changed nothing.
pub(crate) fn why_not_retried(run: &Model) -> Error {
    match run.status {
        _ if run.parent_run_id.is_some() => child_run(),
        _ if transitions::is_decided(run) => not_retryable(),
        RunStatus::Failed | RunStatus::Cancelled if run.children_ended < run.children => children_live(),
        RunStatus::Failed | RunStatus::Cancelled => tenant_suspended(),
        other => not_from(other, "retried"),
    }
}

/// Transitions know the tenant alone; a run's workspace never changes.
async fn require_seen(ctx: &Ctx, id: Uuid) -> Result<()> {
    if ctx.view.is_whole() && !ctx.rights.reach.is_limited() {
        return Ok(());
    }
    load(ctx, id).await.map(|_| ())
}

/// Nothing is run from an archived workspace, nor again with what belongs to another one now.
pub(crate) async fn require_still_there(ctx: &Ctx, id: Uuid) -> Result<()> {
    let run = load(ctx, id).await?;
    require_open(ctx, run.workspace_id).await?;
    let db = ctx.db();
    let agents = db.everywhere::<agent::Entity>().filter(agent::Column::Id.eq(run.agent_id)).one().await?;
    let tools = db.everywhere::<tool::Entity>().filter(tool::Column::Id.eq(run.tool_id)).one().await?;
    let now = agents.and_then(|agent| agent.workspace_id).or(tools.and_then(|tool| tool.workspace_id));
    if now.is_some() && now != run.workspace_id {
        return Err(Error::conflict("target_gone", "What the run was for belongs to another workspace now."));
    }
    Ok(())
}

pub(crate) fn change(run: &TaskRunView) -> Change {
    let now = json!({ "status": run.status, "reason": run.reason });
    Change::of::<task_run::Entity>(run.id).with(now)
}

/// What a replay changes; what is absent stays as it was.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({}))]
pub struct ReplayTaskRun {
    /// Another input.
    pub input: Option<Value>,
    /// Another version of the same agent.
    #[validate(range(min = 1))]
    #[schema(minimum = 1)]
    pub agent_version: Option<i32>,
    /// Of a graph: the step from which on everything is made again. What ended before it is taken over, with
    /// its outputs.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub from_step: Option<String>,
}

/// A new run like a finished one.
///
/// # Errors
/// 409 `invalid_transition` while the run is live.
pub async fn replay(ctx: &Ctx, id: Uuid, body: ReplayTaskRun) -> Result<Submitted> {
    if let Some(done) = replayed(ctx).await? {
        return Ok(done);
    }
    let ReplayTaskRun { input, agent_version, from_step } = body;
    let old = load(ctx, id).await?;
    if !old.status.is_terminal() {
        return Err(not_from(old.status, "replayed"));
    }
    let target = of_run(ctx, &old).await?;
    let policy = replayed_policy(&old, &target, from_step)?;
    let input = input.unwrap_or_else(|| old.input.clone());
    check_input(&target, &input)?;
    let version = match (agent_version, old.agent_id) {
        (None, _) => old.agent_version,
        (Some(number), Some(agent)) => Some(existing_version(ctx, agent, number).await?),
        (Some(_), None) => {
            return Err(Error::invalid("/agentVersion", "unsupported", "The run has no agent."));
        }
    };
    let run = new_run(ctx, &target, input)?;
    let capability = capability(ctx, &old, &run, version).await?;
    let mut again = Model {
        replay_of: Some(old.id),
        capability,
        agent_version: version,
        policy,
        metadata: old.metadata,
        priority: old.priority,
        order_key: order_key(run.available_at, old.priority),
        ..run
    };
    target.stamp(&mut again)?;
    submit(ctx, again).await
}

/// The same, of the same input and version, as part of what is created later. Answers with the new run's id.
pub(crate) async fn launch_replay(ctx: &Ctx, launch: &mut Launch, old: Model) -> Result<Uuid> {
    let target = of_run(ctx, &old).await?;
    let policy = replayed_policy(&old, &target, None)?;
    let run = launch.add(ctx, wanted(&old)?, old.input.clone()).await?;
    run.replay_of = Some(old.id);
    run.dedupe_key = None;
    run.policy = policy;
    target.stamp(run)?;
    run.capability = capability(ctx, &old, run, old.agent_version).await?;
    run.agent_version = old.agent_version;
    run.metadata = old.metadata;
    run.priority = old.priority;
    run.order_key = order_key(run.available_at, old.priority);
    Ok(run.id)
}

/// What the run carried with it; what a child had of its parent's is not its own.
fn replayed_policy(old: &Model, target: &Target, from_step: Option<String>) -> Result<Value> {
    let policy = match old.parent_run_id {
        None => old.policy.clone(),
        Some(_) => target.stored_policy.clone(),
    };
    let mut read: RunPolicy = serde_json::from_value(policy.clone()).map_err(Error::internal)?;
    let unsupported = |code, message| Err(Error::invalid("/fromStep", code, message));
    match (&mut read.graph, from_step) {
        (None, None) => return Ok(policy),
        (None, Some(_)) => return unsupported("unsupported", "The run is not one of a graph."),
        (Some(graph), Some(id)) if graph.steps.iter().all(|step| step.id != id) => {
            return unsupported("not_found", "The run's graph has no such step.");
        }
        (Some(graph), from_step) => graph.from_step = from_step,
    }
    serde_json::to_value(&read).map_err(Error::internal)
}

/// What the run was for, admitted as a new run would be.
async fn of_run(ctx: &Ctx, run: &Model) -> Result<Arc<Target>> {
    targets::resolve(ctx, wanted(run)?).await.map_err(|error| match error {
        Error::Invalid { .. } => Error::conflict("target_gone", "What the run was for was deleted."),
        other => other,
    })
}

fn wanted(run: &Model) -> Result<Wanted> {
    match (run.definition_id, run.agent_id, run.tool_id) {
        (Some(id), ..) => Ok(Wanted::Definition(id)),
        (None, Some(id), _) => Ok(Wanted::Agent(id)),
        (None, None, Some(id)) => Ok(Wanted::Tool(id)),
        (None, None, None) => Err(Error::internal("a run has an agent or a tool")),
    }
}

async fn existing_version(ctx: &Ctx, agent: Uuid, number: i32) -> Result<i32> {
    let db = ctx.db();
    let versions = db.find::<agent_version::Entity>().filter(agent_version::Column::AgentId.eq(agent));
    let found = versions.filter(agent_version::Column::Number.eq(number)).one().await?;
    let missing = || Error::invalid("/agentVersion", "not_found", "The agent has no such version.");
    found.map(|version| version.number).ok_or_else(missing)
}

/// What a worker must offer to execute the new run in this version of the old one's agent.
async fn capability(ctx: &Ctx, old: &Model, new: &Model, version: Option<i32>) -> Result<Option<String>> {
    let same = new.agent_id.filter(|id| old.agent_id == Some(*id));
    let Some((id, number)) = same.zip(version) else { return Ok(new.capability.clone()) };
    let snapshot = snapshot(&ctx.core, ctx.tenant, id, number).await?;
    let agent = ctx.db().everywhere::<agent::Entity>().filter(agent::Column::Id.eq(id)).one().await?;
    Ok(agent.and_then(|agent| snapshot.config.delivery.capability(&agent.slug)))
}

fn tenant_suspended() -> Error {
    Error::denied("tenant_suspended", "The tenant is not active: no run can be started.")
}

fn child_run() -> Error {
    Error::conflict("child_run", "The run was started by another one: retry that one, or replay this.")
}

fn children_live() -> Error {
    Error::conflict("children_live", "Some of the run's children are still ending: try again in a moment.")
}

fn not_retryable() -> Error {
    let message =
        "The run's finished steps decide its failure, and a retry keeps them: replay the run instead.";
    Error::conflict("not_retryable", message)
}

fn not_from(status: RunStatus, action: &str) -> Error {
    let status = match status {
        RunStatus::Pending => "PENDING",
        RunStatus::Running => "RUNNING",
        RunStatus::Waiting => "WAITING",
        RunStatus::Completed => "COMPLETED",
        RunStatus::Failed => "FAILED",
        RunStatus::Cancelled => "CANCELLED",
    };
    Error::conflict("invalid_transition", format!("A run that is {status} cannot be {action}."))
}
