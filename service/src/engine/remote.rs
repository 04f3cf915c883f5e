//! What the engine does for workers beside their claims: their leases are renewed, given up and, because no node
//! watches their time, ended when an attempt takes too long.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::{self, RunReason};
use sea_orm::FromQueryResult as _;
use uuid::Uuid;

use super::leased::LeasedAttempt;
use super::leases::Lease;
use super::{Outcome, Progress, RunError, execute, transitions};
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;

/// Late attempts that one sweep ends.
const MOST_LATE: usize = 500;
/// A worker that was not heard of for so long is forgotten.
const FORGOTTEN: TimeDelta = TimeDelta::days(7);

/// A worker's sign of life.
pub struct Sign {
    pub tenant: Uuid,
    pub worker: Uuid,
    pub slots: i32,
    /// Run and fence of what it holds.
    pub held: Vec<(Uuid, i64)>,
    /// It says that it drains.
    pub draining: bool,
}

/// What a sign of life came to.
pub struct Renewed {
    /// The runs whose leases were renewed; a cancel that was asked for is their reason.
    pub kept: HashMap<Uuid, RunReason>,
    /// The tenant's emergency stop is on.
    pub is_stopped: bool,
}

/// Renews what the worker still holds, and notes that it lives.
pub async fn renew(core: &Core, sign: &Sign) -> Result<Renewed> {
    let now = core.clock.now();
    let until = now + TimeDelta::from_std(core.engine.settings().lease).unwrap_or_default();
    let leases: Vec<_> = sign.held.iter().map(|(run, fence)| (sign.tenant, *run, *fence)).collect();
    let tx = core.db.system(Reason::Engine).begin().await?;
    let kept = match leases.is_empty() {
        true => HashMap::new(),
        false => transitions::renew(&tx, sign.worker, &leases, now, until).await?,
    };
    // Whose slots are all taken has nothing to ask for.
    let is_full = i32::try_from(kept.len()).is_ok_and(|kept| kept >= sign.slots);
    let sql = "UPDATE worker SET last_seen_at = $3, \
         last_claim_at = CASE WHEN $4 THEN $3 ELSE last_claim_at END, \
         drained_at = CASE WHEN $5 THEN COALESCE(drained_at, $3) ELSE drained_at END \
         WHERE tenant_id = $1 AND id = $2";
    let key = [sign.tenant.into(), sign.worker.into(), now.into()];
    tx.execute(sql, [&key[..], &[is_full.into(), sign.draining.into()]].concat()).await?;
    let stopped = "SELECT 1 AS one FROM tenant WHERE id = $1 AND stopped_at IS NOT NULL";
    let is_stopped = !tx.query(stopped, vec![sign.tenant.into()]).await?.is_empty();
    tx.commit().await?;
    Ok(Renewed { kept, is_stopped })
}

/// Queues again at once what a worker holds that is no more.
pub async fn let_go(core: &Core, worker: Uuid) -> Result<()> {
    loop {
        let tx = core.db.system(Reason::Engine).begin().await?;
        let released = transitions::release_node(&tx, worker, core.clock.now()).await?;
        tx.commit().await?;
        for run in &released {
            core.engine.announce(run.id, run.status);
            core.engine.call_worker(run);
        }
        if released.len() < transitions::BATCH {
            return Ok(());
        }
    }
}

/// Ends attempts of workers that took too long or wrote nothing for too long, as a node does with its own.
pub async fn sweep(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let system = core.db.system(Reason::Engine);
    let dialect = system.dialect();
    let patience = dialect.json_int("policy", &["timeouts", "noProgressSeconds"]);
    let sql = format!(
        "SELECT * FROM task_run WHERE status = 'RUNNING' AND capability IS NOT NULL AND lease_expires_at > $1 \
         AND (attempt_deadline_at <= $1 OR deadline_at <= $1 OR {} <= $1) LIMIT {MOST_LATE}",
        dialect.after_seconds("updated_at", &patience),
    );
    for row in system.query(&sql, vec![now.into()]).await? {
        let run = task_run::Model::from_query_result(&row, "")?;
        let outcome = late(&run, now);
        let attempt = LeasedAttempt::new(core.clone(), run.clone(), Lease::of(&run));
        execute::settle(core, &run, &attempt, outcome).await;
    }
    let tx = system.begin().await?;
    let sql = "DELETE FROM worker WHERE last_seen_at <= $1 AND delivery_url IS NULL AND NOT EXISTS (SELECT 1 FROM task_run r \
         WHERE r.status = 'RUNNING' AND r.capability IS NOT NULL AND r.lease_owner = worker.id)";
    tx.execute(sql, vec![(now - FORGOTTEN).into()]).await?;
    tx.commit().await
}

fn late(run: &task_run::Model, now: DateTime<Utc>) -> Outcome {
    let progress = Progress::default();
    if run.cancel_requested_at.is_some() {
        return Outcome::Cancelled { progress };
    }
    let is_over = |deadline: Option<DateTime<Utc>>| deadline.is_some_and(|deadline| deadline <= now);
    let error = match is_over(run.attempt_deadline_at) || is_over(run.deadline_at) {
        true => RunError::timed_out(),
        false => RunError::stalled(),
    };
    Outcome::Failed { error, progress }
}
