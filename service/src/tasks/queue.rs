//! The tenant's work at a glance: what waits, what runs, what ended lately. Each figure costs a bounded look: live runs
//! are counted up to a cap, and what happened lately is read from the newest events.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::{Column, Entity, Model, RunReason, RunStatus};
use sea_orm::{ColumnTrait as _, Condition, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::ctx::Ctx;
use crate::error::Result;

/// Live runs of one status are counted no further.
const CAP: u64 = 10_000;
/// The newest events, which the figures of the last minute are made of.
const EVENTS: usize = 5_000;
const WINDOW: TimeDelta = TimeDelta::seconds(60);
const FAILURES: u64 = 5;

/// The tenant's work at a glance, as far as the caller sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueView {
    pub pending: CountView,
    pub running: CountView,
    pub waiting: CountView,
    pub last_minute: LastMinuteView,
    /// The runs that failed last.
    pub failures: Vec<FailureView>,
    /// When this was so.
    pub at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountView {
    pub count: u64,
    /// There are more than were counted.
    pub is_capped: bool,
}

/// What happened in the last sixty seconds, or in as many as the newest events of the tenant's runs reach back.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastMinuteView {
    pub created: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// How long that took: divide by it for rates. Less than sixty where more happened than is counted.
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    pub run_id: Uuid,
    #[schema(required)]
    pub definition_id: Option<Uuid>,
    #[schema(required)]
    pub agent_id: Option<Uuid>,
    pub reason: RunReason,
    #[schema(required)]
    pub code: Option<String>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
}

impl From<Model> for FailureView {
    fn from(run: Model) -> Self {
        let Model { id, definition_id, agent_id, reason, error, completed_at, .. } = run;
        let code = error.and_then(|error| error.get("code").and_then(Value::as_str).map(str::to_owned));
        Self { run_id: id, definition_id, agent_id, reason, code, completed_at }
    }
}

pub async fn get(ctx: &Ctx) -> Result<QueueView> {
    let now = ctx.core.clock.now();
    let db = ctx.db();
    let failed = db.list::<Entity>().filter(Column::Status.eq(RunStatus::Failed));
    let failures = failed.order_by(Column::Id, Order::Desc).limit(FAILURES).all().await?;
    Ok(QueueView {
        pending: pending(ctx).await?,
        running: count(ctx, RunStatus::Running).await?,
        waiting: count(ctx, RunStatus::Waiting).await?,
        last_minute: last_minute(ctx, now).await?,
        failures: failures.into_iter().map(FailureView::from).collect(),
        at: now,
    })
}

async fn count(ctx: &Ctx, status: RunStatus) -> Result<CountView> {
    let db = ctx.db();
    let count = db.list::<Entity>().filter(Column::Status.eq(status)).count(CAP + 1).await?;
    Ok(capped(count))
}

/// Nodes and workers have queues of their own, and so has what is held; each has its index, and no index holds all.
async fn pending(ctx: &Ctx) -> Result<CountView> {
    let mut count = 0;
    let queued = [Column::Capability.is_null(), Column::Capability.is_not_null()]
        .map(|taken| Condition::all().add(taken).add(Column::HeldAt.is_null()));
    let held = Condition::all().add(Column::HeldAt.is_not_null());
    for taken in queued.into_iter().chain([held]) {
        let db = ctx.db();
        let queue = db.list::<Entity>().filter(Column::Status.eq(RunStatus::Pending)).filter(taken);
        count += queue.count(CAP + 1 - count.min(CAP)).await?;
    }
    Ok(capped(count))
}

fn capped(count: u64) -> CountView {
    CountView { count: count.min(CAP), is_capped: count > CAP }
}

/// The newest events by their place in the order of commits, which has an index: how long a run took to end does not
/// matter.
async fn last_minute(ctx: &Ctx, now: DateTime<Utc>) -> Result<LastMinuteView> {
    let sql = format!(
        "SELECT e.kind, e.created_at, r.workspace_id, r.agent_id FROM (SELECT run_id, type AS kind, created_at FROM run_event \
         WHERE tenant_id = $1 ORDER BY position DESC LIMIT {EVENTS}) e \
         LEFT JOIN task_run r ON r.tenant_id = $1 AND r.id = e.run_id ORDER BY e.created_at"
    );
    let rows = ctx.db().query(&sql, Vec::new()).await?;
    let oldest: Option<DateTime<Utc>> = match rows.first() {
        Some(first) if rows.len() >= EVENTS => Some(first.try_get("", "created_at")?),
        _ => None,
    };
    let since = oldest.unwrap_or(DateTime::<Utc>::MIN_UTC).max(now - WINDOW);
    let mut seen = LastMinuteView { seconds: seconds(now - since), ..LastMinuteView::default() };
    for row in &rows {
        let is_seen = ctx.view.sees(row.try_get("", "workspace_id")?)
            && ctx.rights.reach.holds_agent(row.try_get("", "agent_id")?);
        if !is_seen || row.try_get::<DateTime<Utc>>("", "created_at")? < since {
            continue;
        }
        match row.try_get::<String>("", "kind")?.as_str() {
            "run.created" => seen.created += 1,
            "run.completed" => seen.completed += 1,
            "run.failed" => seen.failed += 1,
            "run.cancelled" => seen.cancelled += 1,
            _ => {}
        }
    }
    Ok(seen)
}

fn seconds(time: TimeDelta) -> f64 {
    f64::from(i32::try_from(time.num_milliseconds()).unwrap_or(i32::MAX)) / 1_000.0
}
