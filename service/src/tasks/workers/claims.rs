//! Claims: a worker asks for runs, and waits for them.
//!
//! Invariant: what a worker is given is under its lease and nobody else's, and was prepared as for a node: a
//! run that its journal, or a person, has settled already is settled, not given out.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::agents::tool::SideEffect;
use entity::tasks::task_run;
use entity::tasks::worker::Model;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::load;
use crate::agents::{AgentSnapshot, snapshot};
use crate::crud::document;
use crate::ctx::Ctx;
use crate::engine::{Attempt as _, Claim, Lease, LeasedAttempt, Outcome, Progress, RunError, Taker, settle};
use crate::error::{Error, Result};
use crate::runtime::{tool, tool_run};
use crate::tasks::approvals::ApprovalView;
use crate::tasks::run_attempts;
use crate::tasks::run_steps::RunStepView;
use crate::tasks::run_waits::RunWaitView;
use crate::tasks::task_runs::TaskRunView;

/// Other nodes' runs are seen by looking.
const LOOK: Duration = Duration::from_millis(500);
/// Looks in a row that find nothing to start while there are more lanes or keys to look at.
const MOST_LOOKS: u32 = 16;

/// How many runs the worker wants.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "max": 1, "waitMs": 20000 }))]
pub struct ClaimWork {
    /// No more than it has slots free are given.
    #[validate(range(min = 1, max = 100))]
    #[schema(minimum = 1, maximum = 100, default = 1)]
    pub max: u64,
    /// How long to wait for the first one, in milliseconds.
    #[validate(range(max = 30_000))]
    #[schema(maximum = 30_000, default = 0)]
    pub wait_ms: u64,
}

impl Default for ClaimWork {
    fn default() -> Self {
        Self { max: 1, wait_ms: 0 }
    }
}

/// What the worker was given; nothing when there was nothing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    pub data: Vec<ClaimedRun>,
}

/// A run to execute.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedRun {
    pub run: TaskRunView,
    /// Its number, for the paths of this attempt's calls.
    pub attempt: i32,
    /// For every call of this attempt.
    pub lease_token: String,
    /// Beat before this, or the run goes to somebody else.
    pub lease_expires_at: DateTime<Utc>,
    /// When the attempt has taken too long.
    pub deadline: DateTime<Utc>,
    /// Of a run of a tool: the call to make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tool: Option<ClaimedTool>,
    /// Of a run of an agent: its behaviour in the run's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent: Option<ClaimedAgent>,
    /// What earlier attempts did; a finished step is not done again.
    pub journal: Vec<RunStepView>,
    /// What people decided that earlier attempts asked.
    pub approvals: Vec<ApprovalView>,
    /// What earlier attempts waited for, and what came of it.
    pub waits: Vec<RunWaitView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedTool {
    pub id: Uuid,
    pub name: String,
    #[schema(value_type = Object)]
    pub config: Value,
    /// Checked against the tool's schema.
    pub arguments: Value,
    pub side_effect: SideEffect,
    /// The same in every attempt: what makes a repetition recognisable to whoever has the effect.
    pub effect_key: String,
    pub timeout_seconds: i32,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedAgent {
    pub id: Uuid,
    pub version: i32,
    #[serde(flatten)]
    pub snapshot: AgentSnapshot,
}

/// Takes runs for the worker, as soon as there are any; `gone` is cancelled when nobody waits for the answer.
///
/// # Errors
/// 404 when there is no such worker.
pub async fn claim(ctx: &Ctx, id: Uuid, body: ClaimWork, gone: CancellationToken) -> Result<Claims> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let worker = load(ctx, id).await?;
    let until = Instant::now() + Duration::from_millis(body.wait_ms);
    let capabilities: Vec<String> = document::read(worker.capabilities.clone());
    let capabilities: Arc<[String]> = capabilities.into();
    let callers = ctx.core.engine.callers();
    loop {
        // In the line before the look, so that what is queued meanwhile is not missed.
        let line = callers.wait(ctx.tenant, capabilities.clone());
        let data = take(ctx, &worker, body.max).await?;
        if !data.is_empty() || Instant::now() >= until || callers.is_closed() || gone.is_cancelled() {
            let answer = Claims { data };
            ctx.keep(&answer).await?;
            return Ok(answer);
        }
        let look = until.min(Instant::now() + LOOK);
        tokio::select! {
            () = line.called() => {}
            () = gone.cancelled() => {}
            () = tokio::time::sleep_until(look) => {}
        }
        if gone.is_cancelled() {
            return Ok(Claims { data: Vec::new() });
        }
    }
}

/// The worker's next run, if one is there.
pub async fn claim_next(ctx: &Ctx, worker: Uuid) -> Result<Option<ClaimedRun>> {
    match load(ctx, worker).await {
        Ok(worker) => Ok(take(ctx, &worker, 1).await?.pop()),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

pub(super) async fn take(ctx: &Ctx, worker: &Model, most: u64) -> Result<Vec<ClaimedRun>> {
    let core = &ctx.core;
    if core.engine.is_quarantined() {
        return Ok(Vec::new());
    }
    let mut looks = 0;
    loop {
        let claim = Claim {
            db: &core.db,
            plans: &core.config.plans,
            turns: core.engine.worker_turns(),
            taker: &Taker::Worker { tenant: ctx.tenant, workspaces: ctx.view.workspaces() },
            owner: worker.id,
            now: core.clock.now(),
            lease: core.engine.settings().lease,
        };
        let claimed = claim.take(most).await?;
        let took = claimed.runs.len();
        let mut given = Vec::with_capacity(took);
        for run in claimed.runs {
            given.extend(prepare(ctx, worker.id, run).await?);
        }
        looks += 1;
        // Runs that were settled instead of given out leave room for others, and behind what is held back may
        // stand what is not.
        if !given.is_empty() || (took == 0 && (!claimed.more || looks >= MOST_LOOKS)) {
            return Ok(given);
        }
    }
}

/// The run as the worker gets it; `None` where it was settled.
async fn prepare(ctx: &Ctx, worker: Uuid, run: task_run::Model) -> Result<Option<ClaimedRun>> {
    let core = &ctx.core;
    let lease_token = run_attempts::token(core, &run, worker)?;
    let attempt = LeasedAttempt::new(core.clone(), run.clone(), Lease::of(&run));
    let journal = match run.step_count {
        0 => Vec::new(),
        _ => attempt.journal().await?,
    };
    let (approvals, waits) = match run.attempt {
        ..=1 => (Vec::new(), Vec::new()),
        _ => (attempt.decisions().await?, attempt.waits().await?),
    };
    let (tool, agent) = match task(ctx, &run, &attempt).await {
        Ok(task) => task,
        Err(outcome) => {
            settle(core, &run, &attempt, outcome).await;
            return Ok(None);
        }
    };
    let deadline = attempt.deadline();
    Ok(Some(ClaimedRun {
        attempt: run.attempt,
        lease_token,
        lease_expires_at: run.lease_expires_at.unwrap_or(deadline),
        deadline,
        tool,
        agent,
        journal: journal.into_iter().map(RunStepView::from).collect(),
        approvals: approvals.into_iter().map(ApprovalView::from).collect(),
        waits: waits.into_iter().map(RunWaitView::from).collect(),
        run: run.into(),
    }))
}

async fn task(
    ctx: &Ctx,
    run: &task_run::Model,
    attempt: &LeasedAttempt,
) -> Result<(Option<ClaimedTool>, Option<ClaimedAgent>), Outcome> {
    match (run.agent_id, run.agent_version, run.tool_id) {
        (Some(id), Some(version), _) => {
            let found = snapshot(&ctx.core, run.tenant_id, id, version).await.map_err(failed)?;
            let snapshot = AgentSnapshot::clone(&found);
            Ok((None, Some(ClaimedAgent { id, version, snapshot })))
        }
        (_, _, Some(id)) => {
            let tool = tool(attempt, id).await?;
            let call = tool_run::remote::hand_out(attempt, &tool).await?;
            let row = &tool.row;
            let tool = ClaimedTool {
                id,
                name: row.name.clone(),
                config: row.config.clone(),
                arguments: call.arguments,
                side_effect: row.side_effect,
                effect_key: call.effect_key,
                timeout_seconds: row.timeout_seconds,
            };
            Ok((Some(tool), None))
        }
        _ => Err(failed(Error::not_found("agent version"))),
    }
}

/// What cannot be given out is tried again, by the run's policy.
fn failed(error: Error) -> Outcome {
    tracing::warn!(%error, "a run could not be given to a worker");
    let error = RunError {
        reason: task_run::RunReason::Error,
        code: "not_prepared".to_owned(),
        message: "The run could not be prepared for a worker.".to_owned(),
        retryable: true,
        retry_after: None,
    };
    Outcome::Failed { error, progress: Progress::default() }
}
