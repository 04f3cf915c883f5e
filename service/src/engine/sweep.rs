//! What time causes, looked for every few seconds by every node: each change is one conditional
//! statement, so any number of sweepers do it once.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run;
use sea_orm::DbErr;

use super::{remote, timers, transitions};
use crate::auth::key_usage;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::Result;
use crate::governance::{privacy_requests, tenant_erasures, tenant_retention};
use crate::notifications::notifications;

/// An executor that was told to cancel and did not agree by then is overruled.
const CANCEL_PATIENCE: TimeDelta = TimeDelta::seconds(30);
/// Batches of one look in one sweep.
const MOST_BATCHES: usize = 100;
/// Answers kept for `Idempotency-Key`, past their time.
const FORGET_ANSWERS: &str = "DELETE FROM idempotency_record WHERE (tenant_id, id) IN \
     (SELECT tenant_id, id FROM idempotency_record WHERE expires_at <= $1 LIMIT 1000)";

pub async fn sweep(core: &Core) -> Result<()> {
    sync_clock(core).await?;
    core.quarantine.look(&core.db).await?;
    // The time that is over may be the former life's.
    if core.quarantine.is_on() {
        return Ok(());
    }
    let now = core.clock.now();
    timers::expire(core).await?;
    // Before leases are looked at: an attempt that took too long has failed, whoever held it.
    remote::sweep(core).await?;
    for look in [Look::Leases, Look::Cancels, Look::Queue, Look::Waits] {
        for _ in 0..MOST_BATCHES {
            let tx = core.db.system(Reason::Engine).begin().await?;
            let changed = look.at(&tx, now).await?;
            tx.commit().await?;
            announce(core, &changed);
            if changed.len() < transitions::BATCH {
                break;
            }
        }
    }
    // Late removal makes no run late.
    if let Err(error) = tenant_retention::sweep(core).await {
        tracing::warn!(%error, "retention could not be applied");
    }
    if let Err(error) = tenant_erasures::sweep(core).await {
        tracing::warn!(%error, "closed tenants could not be erased");
    }
    if let Err(error) = privacy_requests::sweep(core).await {
        tracing::warn!(%error, "erasures could not go on");
    }
    if let Err(error) = notifications::sweep(core).await {
        tracing::warn!(%error, "people could not be told");
    }
    if let Err(error) = key_usage::sweep(core).await {
        tracing::warn!(%error, "the usage of keys could not be written");
    }
    for _ in 0..MOST_BATCHES {
        let tx = core.db.system(Reason::Engine).begin().await?;
        let forgotten = tx.execute(FORGET_ANSWERS, vec![now.into()]).await?.rows_affected();
        tx.commit().await?;
        if forgotten < 1_000 {
            break;
        }
    }
    for _ in 0..MOST_BATCHES {
        let tx = core.db.system(Reason::Engine).begin().await?;
        let forgotten = transitions::forget_dedupe_keys(&tx, now).await?;
        tx.commit().await?;
        if forgotten < 1_000 {
            break;
        }
    }
    Ok(())
}

/// What a sweep looks for; each batch is a transaction of its own.
#[derive(Clone, Copy)]
enum Look {
    Leases,
    Cancels,
    Queue,
    Waits,
}

impl Look {
    async fn at(self, tx: &SystemTx, now: DateTime<Utc>) -> Result<Vec<task_run::Model>, DbErr> {
        match self {
            Self::Leases => transitions::expire_leases(tx, now).await,
            Self::Cancels => transitions::force_cancels(tx, now - CANCEL_PATIENCE, now).await,
            Self::Queue => transitions::expire_queue(tx, now).await,
            Self::Waits => transitions::expire_waits(tx, now).await,
        }
    }
}

/// One look at what the ends of runs left to do in their trees; whether another one is due at once.
pub async fn settle_trees(core: &Core) -> Result<bool> {
    if core.quarantine.is_on() {
        return Ok(false);
    }
    let tx = core.db.system(Reason::Engine).begin().await?;
    let ripple = transitions::tree::settle_due(&tx, core.clock.now()).await?;
    tx.commit().await?;
    for (run, status) in ripple.changed {
        core.engine.announce(run, status);
    }
    Ok(ripple.again)
}

fn announce(core: &Core, changed: &[task_run::Model]) {
    for run in changed {
        tracing::info!(run.id = %run.id, status = ?run.status, reason = ?run.reason, "swept");
        core.engine.announce(run.id, run.status);
        if run.status == task_run::RunStatus::Pending {
            core.engine.call_worker(run);
        }
    }
}

/// The database's clock decides leases: this node's follows it.
pub async fn sync_clock(core: &Core) -> Result<()> {
    let Some(sql) = core.db.dialect().clock() else { return Ok(()) };
    let rows = core.db.system(Reason::Operations).query(sql, Vec::new()).await?;
    if let Some(row) = rows.first() {
        core.clock.sync(row.try_get("", "now")?);
    }
    Ok(())
}
