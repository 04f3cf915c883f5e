//! Who is alive. A worker is when it beats and asks for runs: one whose loop hangs while its heartbeat goes on
//! is not, and neither is one that asks but vanished since. Nothing of it is stored. One that is sent its runs is
//! thought to be alive until it does not take one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::{RunReason, RunStatus};
use entity::tasks::worker::{Column, Entity, Model};
use sea_orm::{ColumnTrait as _, Condition};

use super::views::WorkerStatus;
use crate::ctx::Ctx;
use crate::db::TenantDb;
use crate::engine::EngineSettings;
use crate::error::Result;
use crate::tasks::task_runs::TaskRunView;

/// Three of the longest polls.
const SILENT: TimeDelta = TimeDelta::seconds(90);
/// Workers of a tenant that are looked at.
const MOST: u64 = 1_000;

/// What is before this is too long ago.
fn horizon(now: DateTime<Utc>, settings: &EngineSettings) -> DateTime<Utc> {
    let beats = TimeDelta::from_std(settings.heartbeat * 3).unwrap_or(SILENT);
    now - SILENT.max(beats.min(TimeDelta::hours(1)))
}

pub(super) fn status(worker: &Model, now: DateTime<Utc>, settings: &EngineSettings) -> WorkerStatus {
    let since = horizon(now, settings);
    if worker.paused_at.is_some() {
        WorkerStatus::Paused
    } else if worker.delivery_url.is_some() {
        match (worker.drained_at, worker.delivery_failures) {
            (Some(_), _) => WorkerStatus::Draining,
            (None, 0) => WorkerStatus::Online,
            (None, _) => WorkerStatus::Offline,
        }
    } else if worker.last_seen_at <= since {
        WorkerStatus::Offline
    } else if worker.drained_at.is_some() {
        WorkerStatus::Draining
    } else if worker.last_claim_at.is_none_or(|claim| claim <= since) {
        WorkerStatus::Offline
    } else {
        WorkerStatus::Online
    }
}

/// What live workers of the tenant offer, and how many offer it.
pub async fn capabilities_alive(
    db: &TenantDb,
    now: DateTime<Utc>,
    settings: &EngineSettings,
) -> Result<BTreeMap<String, usize>> {
    let since = horizon(now, settings);
    let asks = Condition::all()
        .add(Column::DeliveryUrl.is_null())
        .add(Column::LastSeenAt.gt(since))
        .add(Column::LastClaimAt.gt(since));
    let takes = Condition::all().add(Column::DeliveryUrl.is_not_null()).add(Column::DeliveryFailures.eq(0));
    let alive = Condition::all()
        .add(Condition::any().add(asks).add(takes))
        .add(Column::PausedAt.is_null())
        .add(Column::DrainedAt.is_null());
    let mut offered = BTreeMap::new();
    for worker in db.everywhere::<Entity>().filter(alive).limit(MOST).all().await? {
        let capabilities: BTreeSet<String> = serde_json::from_value(worker.capabilities).unwrap_or_default();
        for capability in capabilities {
            *offered.entry(capability).or_default() += 1;
        }
    }
    Ok(offered)
}

/// NO_WORKER is how a queued run is shown that no live worker could take. It is told of the moment and not
/// stored, so it is never late.
pub async fn shown_reasons(ctx: &Ctx, runs: &mut [TaskRunView]) -> Result<()> {
    let now = ctx.core.clock.now();
    let waits = |run: &TaskRunView| {
        let is_due = run.status == RunStatus::Pending && run.available_at <= now;
        is_due && run.capability.is_some()
    };
    if !runs.iter().any(waits) {
        return Ok(());
    }
    let offered =
        capabilities_alive(&ctx.core.db.tenant(ctx.tenant), now, ctx.core.engine.settings()).await?;
    for run in runs.iter_mut().filter(|run| waits(run)) {
        if run.capability.as_ref().is_some_and(|capability| !offered.contains_key(capability)) {
            run.reason = RunReason::NoWorker;
        }
    }
    Ok(())
}
