//! Why a queued run has not started.

use chrono::{DateTime, Utc};
use entity::agents::agent::{self, AgentStatus};
use entity::agents::tool;
use entity::identity::tenant::{self, TenantStatus};
use entity::tasks::task_run::{Model, RunReason};
use entity::tasks::{run_event, task_definition};
use sea_orm::{ColumnTrait as _, Order};
use uuid::Uuid;

use super::estimate::{Room, estimate};
use super::view::{CauseCode, CauseView, PositionView, RunActionCode, RunActionView, RunExplanationView};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::engine::is_any_alive;
use crate::engine::policy::RunPolicy;
use crate::engine::rates::{self, RateLimit};
use crate::engine::transitions::{MOST_LOST, SUSPECT, key_limit, order_key, taken_by};
use crate::error::{Error, Result};
use crate::tasks::{run_keys, workers};

/// Runs before this one are counted no further.
const MOST_AHEAD: i64 = 10_000;

pub async fn explain(ctx: &Ctx, run: Model) -> Result<RunExplanationView> {
    let now = ctx.core.clock.now();
    let mut actions = vec![RunActionView::cancel(run.id)];
    let mut causes = Vec::new();
    let workers = match &run.capability {
        Some(capability) => Some(able(ctx, capability, now).await?),
        None => None,
    };
    causes.extend(installation(ctx, &run, workers).await?);
    causes.extend(of_tenant(ctx).await?);
    if let Some(id) = run.definition_id {
        let definition = ctx.core.db.tenant(ctx.tenant).get::<task_definition::Entity>(id).await?;
        if let Some(cause) = definition.as_ref().and_then(of_definition) {
            actions.push(RunActionView::post(
                RunActionCode::ResumeDefinition,
                format!("/v1/task-definitions/{id}/resume"),
                "Let the definition start runs again.",
            ));
            causes.push(cause);
        }
    }
    let mut room = Room::default();
    if let Some(id) = run.agent_id {
        let agent = ctx.core.db.tenant(ctx.tenant).get::<agent::Entity>(id).await?;
        if let Some(cause) = agent.as_ref().and_then(of_agent) {
            actions.push(RunActionView::post(
                RunActionCode::ResumeAgent,
                format!("/v1/agents/{id}/resume"),
                "Let the agent start runs again.",
            ));
            causes.push(cause);
        }
        if let Some(limit) = agent.and_then(|agent| agent.max_concurrent).map(i64::from) {
            let executing = executing_in_lane(ctx, run.lane_id, limit).await?;
            room.narrow(executing, limit);
            if executing >= limit {
                let message =
                    format!("{executing} runs of its agent execute, as many as maxConcurrent allows.");
                causes.push(CauseView::blocking(CauseCode::AgentLimit, message).of(executing, limit));
            }
        }
    }
    if !run.concurrency_key.is_empty() {
        let system = ctx.core.db.system(Reason::Engine);
        if let Some((limit, executing)) = key_limit(&system, ctx.tenant, &run.concurrency_key).await? {
            room.narrow(executing, limit);
            if executing >= limit {
                let key = run_keys::shown(run.concurrency_key.clone(), run.definition_id);
                let message =
                    format!("{executing} runs with its concurrency key `{key}` execute, as many as may.");
                causes.push(CauseView::blocking(CauseCode::ConcurrencyLimit, message).of(executing, limit));
            }
        }
    }
    causes.extend(of_tool(ctx, &run, now).await?);
    causes.extend(not_due(ctx, &run, now).await?);
    if run.lost_count >= SUSPECT {
        let message = format!(
            "It has lost {} executors of {MOST_LOST} it may lose, and starts where no other such run executes.",
            run.lost_count
        );
        causes.push(CauseView::new(CauseCode::Suspect, message).of(run.lost_count.into(), MOST_LOST.into()));
    }
    let ahead = ahead(ctx, &run, now).await?;
    if ahead > 0 {
        let message = match ahead {
            1 => "One other run of its queue starts before it.".to_owned(),
            MOST_AHEAD => format!("{MOST_AHEAD} or more others of its queue start before it."),
            ahead => format!("{ahead} others of its queue start before it."),
        };
        causes.push(CauseView::new(CauseCode::BehindOthers, message));
    }
    let blocked = causes.iter().any(|cause| cause.blocks && cause.until.is_none() && cause.limit.is_none());
    if causes.is_empty() {
        causes.push(CauseView::new(CauseCode::Ready, "Nothing is in its way: the next claim takes it."));
    }
    let message = "It fails as EXPIRED when it has not started by then.";
    causes.push(CauseView::new(CauseCode::QueueExpires, message).until(run.queue_expires_at));
    let estimate = match blocked {
        true => None,
        false => estimate(ctx, &run, ahead, room, now).await?,
    };
    Ok(RunExplanationView {
        position: Some(PositionView { ahead, is_capped: ahead >= MOST_AHEAD }),
        estimate,
        workers,
        losses: super::ended::losses(ctx, &run).await?,
        actions,
        ..RunExplanationView::of(&run).because(causes)
    })
}

/// What keeps all runs like this one from starting: nobody is there to execute them.
async fn installation(ctx: &Ctx, run: &Model, workers: Option<u64>) -> Result<Option<CauseView>> {
    if ctx.core.quarantine.is_on() {
        let message =
            "This installation is a restored copy: it starts nothing until its operator confirms it.";
        return Ok(Some(CauseView::blocking(CauseCode::RestoredCopy, message)));
    }
    match (&run.capability, workers) {
        (None, _) => no_node(ctx).await,
        (Some(capability), Some(0)) => {
            let message = format!("No live worker offers `{capability}`, which it needs.");
            Ok(Some(CauseView::blocking(CauseCode::NoWorker, message)))
        }
        (Some(_), _) => Ok(None),
    }
}

/// How many live workers offer it.
async fn able(ctx: &Ctx, capability: &str, now: DateTime<Utc>) -> Result<u64> {
    let tenant = ctx.core.db.tenant(ctx.tenant);
    let offered = workers::capabilities_alive(&tenant, now, ctx.core.engine.settings()).await?;
    Ok(offered.get(capability).map_or(0, |count| u64::try_from(*count).unwrap_or(u64::MAX)))
}

async fn no_node(ctx: &Ctx) -> Result<Option<CauseView>> {
    let none = || CauseView::blocking(CauseCode::NoNode, "No node of the engine is alive.");
    Ok((!is_any_alive(&ctx.core, None).await?).then(none))
}

async fn of_tenant(ctx: &Ctx) -> Result<Option<CauseView>> {
    let db = ctx.db();
    let tenant = db.get::<tenant::Entity>(ctx.tenant).await?.ok_or(Error::not_found("tenant"))?;
    let (code, message) = match tenant.status {
        TenantStatus::Active if tenant.stopped_at.is_some() => {
            (CauseCode::TenantStopped, "The tenant's emergency stop is on: it starts nothing.")
        }
        TenantStatus::Active => return Ok(None),
        TenantStatus::Suspended => {
            (CauseCode::TenantNotActive, "The tenant is suspended: it starts nothing.")
        }
        TenantStatus::Closing | TenantStatus::Erasing => {
            (CauseCode::TenantNotActive, "The tenant is being closed: it starts nothing.")
        }
    };
    Ok(Some(CauseView::blocking(code, message)))
}

fn of_agent(agent: &agent::Model) -> Option<CauseView> {
    let (code, state) = match agent.status {
        AgentStatus::Active => return None,
        AgentStatus::Paused => (CauseCode::AgentPaused, "paused"),
        AgentStatus::Quarantined => (CauseCode::AgentQuarantined, "quarantined"),
    };
    let why = agent.status_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(CauseView::blocking(code, format!("Its agent is {state}{why}: it starts nothing.")))
}

fn of_definition(definition: &task_definition::Model) -> Option<CauseView> {
    definition.paused_at?;
    let why = definition.paused_reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let message = format!("Its definition is paused{why}: it starts nothing.");
    Some(CauseView::blocking(CauseCode::DefinitionPaused, message))
}

/// The rate limit of a tool whose run this is.
async fn of_tool(ctx: &Ctx, run: &Model, now: DateTime<Utc>) -> Result<Option<CauseView>> {
    let Some(id) = run.tool_id.filter(|_| run.agent_id.is_none()) else { return Ok(None) };
    let tool = ctx.core.db.tenant(ctx.tenant).get::<tool::Entity>(id).await?;
    let limit = tool.as_ref().and_then(|tool| RateLimit::stored(tool.rate_limit.as_ref()));
    let Some((tool, limit)) = tool.as_ref().zip(limit) else { return Ok(None) };
    let next = rates::next(&ctx.core.db, ctx.tenant, id, limit, now).await?;
    Ok(next.map(|next| rate_limited("tool", &tool.name, limit.per_minute.into(), next)))
}

fn rate_limited(kind: &str, name: &str, per_minute: i64, until: DateTime<Utc>) -> CauseView {
    let message =
        format!("The rate limit of its {kind} {name} ({per_minute} a minute) has no token before then.");
    CauseView::blocking(CauseCode::RateLimited, message).until(until)
}

/// The limit that the run found used up, as its timeline names it.
async fn found_used_up(ctx: &Ctx, run: &Model) -> Result<Option<CauseView>> {
    let db = ctx.db();
    let events = db
        .find::<run_event::Entity>()
        .filter(run_event::Column::RunId.eq(run.id))
        .filter(run_event::Column::Kind.eq("run.rate_limited"))
        .order_by(run_event::Column::Seq, Order::Desc);
    let limit = events.one().await?.and_then(|event| event.data.get("limit").cloned());
    Ok(limit.map(|limit| {
        let text = |name: &str| limit.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let kind = if text("kind") == "TOOL" { "tool" } else { "model provider" };
        let per_minute = limit.get("perMinute").and_then(|number| number.as_i64()).unwrap_or(0);
        rate_limited(kind, text("name"), per_minute, run.available_at)
    }))
}

/// A run that is not due yet.
async fn not_due(ctx: &Ctx, run: &Model, now: DateTime<Utc>) -> Result<Option<CauseView>> {
    if run.available_at <= now {
        return Ok(None);
    }
    if run.reason == RunReason::RateLimited
        && let Some(cause) = found_used_up(ctx, run).await?
    {
        return Ok(Some(cause));
    }
    let (code, message) = match run.reason {
        RunReason::RetryBackoff => {
            let most = RunPolicy::of(run).retry.max_attempts;
            let message = format!("Attempt {} of {most} failed; the next one is not due yet.", run.failures);
            (CauseCode::RetryBackoff, message)
        }
        RunReason::RateLimited => {
            (CauseCode::RateLimited, "A rate limit has no token for it before then.".to_owned())
        }
        _ => (CauseCode::Delayed, "It is not to start before then.".to_owned()),
    };
    Ok(Some(CauseView::blocking(code, message).until(run.available_at)))
}

async fn executing_in_lane(ctx: &Ctx, lane: Uuid, most: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS running FROM (SELECT 1 AS one FROM task_run \
         WHERE status = 'RUNNING' AND tenant_id = $1 AND lane_id = $2 LIMIT $3) q";
    let system = ctx.core.db.system(Reason::Engine);
    let rows = system.query(sql, vec![ctx.tenant.into(), lane.into(), most.into()]).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.try_get("", "running"))?)
}

/// Due runs of its queue that a claim takes before it.
async fn ahead(ctx: &Ctx, run: &Model, now: DateTime<Utc>) -> Result<i64> {
    // One that is not due stands where it will when it is.
    let place =
        if run.available_at > now { order_key(run.available_at, run.priority) } else { run.order_key };
    let mut values = vec![
        ctx.tenant.into(),
        run.lane_id.into(),
        run.concurrency_key.clone().into(),
        now.into(),
        place.into(),
        run.id.into(),
        MOST_AHEAD.into(),
    ];
    let taken = taken_by(run.capability.as_deref(), &mut values);
    let sql = format!(
        "SELECT COUNT(*) AS ahead FROM (SELECT 1 AS one FROM task_run \
         WHERE status = 'PENDING' AND {taken} AND tenant_id = $1 AND lane_id = $2 AND concurrency_key = $3 \
         AND available_at <= $4 AND order_key <= $5 AND (order_key < $5 OR id < $6) LIMIT $7) q"
    );
    let rows = ctx.core.db.system(Reason::Engine).query(&sql, values).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.try_get("", "ahead"))?)
}
