//! The emergency stop of a tenant: one call pauses every agent, and its release resumes exactly those.
//!
//! Invariant: while it holds, nothing of the tenant starts, be it of an agent that was made meanwhile or of
//! none: claims and births look at the tenant's own row. The paused agents only show it.

use chrono::{DateTime, Utc};
use entity::agents::agent::{self, AgentStatus};
use entity::identity::membership::Role;
use entity::identity::tenant::{ActiveModel, Column, Entity, Model};
use entity::tasks::task_run::{self, RunStatus};
use sea_orm::ActiveValue::Set;
use sea_orm::ColumnTrait as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::memberships;
use crate::crud::Once;
use crate::ctx::Ctx;
use crate::db::{Reason, Store, TenantTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::notifications::notify::{Notice, notify};
use crate::tasks::task_runs;

/// Agents and runs are counted no further.
const COUNT_CAP: u64 = 10_000;

const PAUSE: &str = "UPDATE agent SET status = 'PAUSED', status_reason = $2, stopped_at = $3, \
     revision = revision + 1, updated_at = $3 WHERE tenant_id = $1 AND status = 'ACTIVE' AND deleted_at IS NULL";
/// One that was quarantined meanwhile stays so.
const RESUME: &str = "UPDATE agent SET status = CASE WHEN status = 'PAUSED' THEN 'ACTIVE' ELSE status END, \
     status_reason = CASE WHEN status = 'PAUSED' THEN NULL ELSE status_reason END, stopped_at = NULL, \
     revision = revision + 1, updated_at = $2 WHERE tenant_id = $1 AND stopped_at IS NOT NULL";

/// What becomes of the runs that are executing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunningRuns {
    /// Each ends its current step, is put back into the queue, and goes on after the release.
    #[default]
    Hold,
    /// Each is cancelled.
    Cancel,
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "reason": "An agent writes to the wrong customers." }))]
pub struct StopTenant {
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
    pub running: RunningRuns,
}

/// Whether an emergency stop holds, and what it holds back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStopView {
    pub is_stopped: bool,
    #[schema(required)]
    pub stopped_at: Option<DateTime<Utc>>,
    #[schema(required, example = "user:0199a000-0000-7000-8000-000000000001")]
    pub stopped_by: Option<String>,
    #[schema(required)]
    pub reason: Option<String>,
    /// Agents that its release resumes.
    #[schema(minimum = 0)]
    pub paused_agents: u64,
    /// Runs that are still executing, counted up to 10,000.
    #[schema(minimum = 0)]
    pub running_runs: u64,
}

/// # Errors
/// None of its own.
pub async fn get(ctx: &Ctx) -> Result<EmergencyStopView> {
    let db = ctx.db();
    let tenant = db.get::<Entity>(ctx.tenant).await?.ok_or(Error::not_found("tenant"))?;
    view(&db, tenant).await
}

/// Pauses every agent that is active. While a stop holds, a second one pauses what was made since.
///
/// # Errors
/// None of its own.
pub async fn stop(ctx: &Ctx, body: StopTenant) -> Result<EmergencyStopView> {
    let StopTenant { reason, running } = body;
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let now = ctx.core.clock.now();
    let tenant = locked(&tx).await?;
    let stopped = ActiveModel {
        stopped_at: Set(tenant.stopped_at.or(Some(now))),
        stopped_by: Set(tenant.stopped_by.clone().or_else(|| Some(ctx.actor_label()))),
        stop_reason: Set(tenant.stop_reason.clone().or_else(|| reason.clone())),
        ..ActiveModel::default()
    };
    let is_first = tenant.stopped_at.is_none();
    let tenant = write(ctx, &tx, &tenant, stopped).await?;
    let shown = match &reason {
        Some(reason) => format!("Emergency stop: {reason}"),
        None => "Emergency stop.".to_owned(),
    };
    let paused = tx.execute(PAUSE, vec![shown.into(), now.into()]).await?;
    if is_first {
        let notice = Notice::emergency_stop(tenant.id, &tenant.name, reason.as_deref());
        let administrators = memberships::with_role(&tx, Role::Admin).await?;
        notify(&ctx.core, tx.system(Reason::People), &administrators, &notice).await?;
    }
    let change = Change::to("emergency stop", tenant.id)
        .with(json!({ "isStopped": true, "reason": reason, "pausedAgents": paused, "running": running }));
    let view = view(&tx, tenant).await?;
    tx.finish(change, &view).await?;
    ctx.core.engine.hold_back(ctx.tenant);
    if running == RunningRuns::Cancel {
        task_runs::cancel_running(ctx).await?;
    }
    Ok(view)
}

/// Resumes what the stop paused, and lets waiting runs go on.
///
/// # Errors
/// 409 `invalid_transition` where no stop holds.
pub async fn release(ctx: &Ctx) -> Result<EmergencyStopView> {
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let tenant = locked(&tx).await?;
    if tenant.stopped_at.is_none() {
        return Err(Error::conflict("invalid_transition", "No emergency stop holds."));
    }
    let released = ActiveModel {
        stopped_at: Set(None),
        stopped_by: Set(None),
        stop_reason: Set(None),
        ..ActiveModel::default()
    };
    let tenant = write(ctx, &tx, &tenant, released).await?;
    let resumed = tx.execute(RESUME, vec![ctx.core.clock.now().into()]).await?;
    let change =
        Change::to("emergency stop", tenant.id).with(json!({ "isStopped": false, "resumedAgents": resumed }));
    let view = view(&tx, tenant).await?;
    tx.finish(change, &view).await?;
    ctx.core.engine.nudge();
    Ok(view)
}

async fn locked(tx: &TenantTx) -> Result<Model> {
    tx.lock_tenant().await?;
    tx.get::<Entity>(tx.tenant()).await?.ok_or(Error::not_found("tenant"))
}

async fn write(ctx: &Ctx, tx: &TenantTx, tenant: &Model, changes: ActiveModel) -> Result<Model> {
    let changes =
        ActiveModel { revision: Set(tenant.revision + 1), updated_at: Set(ctx.core.clock.now()), ..changes };
    let same = Column::Revision.eq(tenant.revision);
    let written = tx.update::<Entity>(tenant.id, same, changes).await?;
    written.ok_or_else(|| Error::internal("a locked tenant was changed"))
}

async fn view<C: sea_orm::ConnectionTrait>(db: &Store<C>, tenant: Model) -> Result<EmergencyStopView> {
    let paused = db
        .everywhere::<agent::Entity>()
        .filter(agent::Column::StoppedAt.is_not_null())
        .filter(agent::Column::Status.eq(AgentStatus::Paused));
    let running = db.everywhere::<task_run::Entity>().filter(task_run::Column::Status.eq(RunStatus::Running));
    Ok(EmergencyStopView {
        is_stopped: tenant.stopped_at.is_some(),
        stopped_at: tenant.stopped_at,
        stopped_by: tenant.stopped_by,
        reason: tenant.stop_reason,
        paused_agents: paused.count(COUNT_CAP).await?,
        running_runs: running.count(COUNT_CAP).await?,
    })
}
