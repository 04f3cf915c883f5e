//! Creating the runs of targets, a page in one transaction with the targets that they are of.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::batch_task::{BatchStatus, Model};
use entity::tasks::task_run::{self, RunStatus};
use entity::tasks::task_target::{self, TargetStatus};
use sea_orm::DbErr;
use serde_json::json;

use super::admit::{self, Former, Obstacle, Page};
use super::rows::{self, key};
use super::{pace, settle, work};
use crate::core::Core;
use crate::db::{Reason, SystemDb, SystemTx};
use crate::engine::transitions;
use crate::error::Result;
use crate::tasks::launch::Missing;

/// Runs of one transaction. On SQLite nobody else writes meanwhile.
const PAGE: usize = 128;
/// When a batch at its bounds is looked at again: runs end without telling.
const LOOK: TimeDelta = TimeDelta::milliseconds(500);
/// When one is that the queue or the tenant holds back.
const LATER: TimeDelta = TimeDelta::seconds(5);

/// Creates the next page of a running batch, as its pacing allows.
pub async fn page(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    let system = core.db.system(Reason::Engine);
    let room = room(&system, row).await?;
    let most = pace::allowed(row.rate_per_minute, row.paced_at, now, PAGE.min(room));
    if most == 0 {
        let free = row.paced_at.map_or(now, |used| pace::next(row.rate_per_minute, used, now));
        let next = if room == 0 { now + LOOK } else { free.max(now + TimeDelta::milliseconds(1)) };
        return work::put_off(core, row, next).await;
    }
    let targets = rows::targets(&system, key(row), TargetStatus::Pending, 0, most).await?;
    if targets.is_empty() {
        return end(core, row, now).await;
    }
    let page = admit::admit(core, &system, row, targets, now).await?;
    let tx = system.begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    // What another node sent meanwhile has used up the rate.
    let stands = (locked.revision, locked.paced_at) == (row.revision, row.paced_at);
    if locked.status != BatchStatus::Running || !stands {
        return Ok(());
    }
    if let Some(reason) = settle::over(&tx, &locked, locked.spent_nanos).await? {
        work::pause(core, &tx, &locked, reason, now).await?;
        return tx.commit().await;
    }
    send(core, tx, &locked, page, now).await
}

/// What became of a target that was to be sent.
enum Outcome {
    Sent,
    /// Its keys do not allow a run.
    Refused,
    /// It waits.
    Held,
}

async fn send(core: &Core, tx: SystemTx, row: &Model, mut page: Page, now: DateTime<Utc>) -> Result<()> {
    page.keep_pending(&tx, row).await?;
    let made = page.launch.create(&tx).await?;
    let Page { launch, by, targets, launched, former, mut refused, mut obstacle } = page;
    let mut sent = Vec::with_capacity(targets.len());
    let mut again = Vec::new();
    for mut target in targets {
        let Some(run) = target.run_id else { continue };
        let outcome = match former.get(&run) {
            Some(Former::Adopted) => Outcome::Sent,
            Some(Former::Retried(run)) => retry(&tx, run, &by, now).await?,
            None => match made.missing(run) {
                None => Outcome::Sent,
                Some(Missing::Duplicate(_) | Missing::Full { .. }) => Outcome::Refused,
                Some(Missing::Inactive | Missing::Passing) => Outcome::Held,
            },
        };
        match outcome {
            Outcome::Sent => {
                again.extend(matches!(former.get(&run), Some(Former::Retried(_))).then_some(run));
                if launched.contains_key(&run) {
                    target.former_cost_nanos = target.cost_nanos;
                }
                (target.status, target.sent_at, target.failed_at) = (TargetStatus::Running, Some(now), None);
                (target.tries, target.error) = (target.tries + 1, None);
                sent.push(target);
            }
            Outcome::Refused => {
                target.run_id = launched.get(&run).copied().unwrap_or(Some(run));
                refuse(&mut target, now);
                refused.push(target);
            }
            Outcome::Held => obstacle = obstacle.or(Some(Obstacle::Passing)),
        }
    }
    rows::write(&tx, &sent, TargetStatus::Pending, now).await?;
    rows::write(&tx, &refused, TargetStatus::Pending, now).await?;
    let paced = pace::used(row.rate_per_minute, row.paced_at, now, sent.len());
    let next = match obstacle {
        Some(Obstacle::Passing) => now + LATER,
        _ => pace::next(row.rate_per_minute, paced, now),
    };
    let sql = "UPDATE batch_task SET paced_at = $3, next_at = $4 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), paced.into(), next.into()]).await?;
    let reason = match obstacle {
        Some(Obstacle::Lasting(reason)) => Some(reason),
        _ if refused.is_empty() => None,
        _ => settle::over(&tx, row, row.spent_nanos).await?,
    };
    if let Some(reason) = reason {
        work::pause(core, &tx, row, reason, now).await?;
    }
    tx.commit().await?;
    launch.committed(core, made);
    for run in again {
        core.engine.announce(run, RunStatus::Pending);
    }
    Ok(())
}

fn refuse(target: &mut task_target::Model, now: DateTime<Utc>) {
    let message = "Other runs have the definition's concurrency key or dedupe key.";
    target.error = Some(json!({ "code": "key_taken", "message": message }));
    (target.status, target.failed_at) = (TargetStatus::Failed, Some(now));
}

/// The same run again. One that cannot be retried yet, because its children still end, waits.
async fn retry(tx: &SystemTx, run: &task_run::Model, by: &str, now: DateTime<Utc>) -> Result<Outcome, DbErr> {
    if is_deduplicated(tx, run).await? {
        return Ok(Outcome::Refused);
    }
    if transitions::retry(tx, run.tenant_id, run.id, by, now).await?.is_none() {
        return Ok(Outcome::Held);
    }
    transitions::reopen_questions(tx, run.tenant_id, run.id, now).await?;
    Ok(Outcome::Sent)
}

/// Whether a live run has its dedupe key: the unique index would refuse the whole page.
async fn is_deduplicated(tx: &SystemTx, run: &task_run::Model) -> Result<bool, DbErr> {
    let Some(dedupe_key) = &run.dedupe_key else { return Ok(false) };
    let mut values = vec![run.tenant_id.into(), dedupe_key.clone().into(), run.id.into()];
    let within = match run.workspace_id {
        None => "workspace_id IS NULL",
        Some(workspace) => {
            values.push(workspace.into());
            "workspace_id = $4"
        }
    };
    let sql = format!(
        "SELECT id FROM task_run WHERE tenant_id = $1 AND dedupe_key = $2 AND dedupe_key IS NOT NULL AND id <> $3 \
         AND status IN ('PENDING', 'RUNNING', 'WAITING') AND {within} LIMIT 1"
    );
    Ok(!tx.query(&sql, values).await?.is_empty())
}

async fn room(system: &SystemDb, row: &Model) -> Result<usize> {
    let sql = "SELECT COUNT(*) AS running FROM task_target WHERE tenant_id = $1 AND batch_id = $2 AND status = 'RUNNING'";
    let rows = system.query(sql, vec![row.tenant_id.into(), row.id.into()]).await?;
    let running: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "running"))?;
    Ok(usize::try_from(i64::from(row.max_in_flight) - running).unwrap_or(0))
}

/// Nothing is left to be sent: the batch is over once nothing runs.
async fn end(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    let is_busy = locked.status != BatchStatus::Running
        || locked.retried_number.is_some()
        || rows::count(&tx, key(row), TargetStatus::Pending, 1).await? > 0
        || rows::count(&tx, key(row), TargetStatus::Running, 1).await? > 0;
    if is_busy {
        drop(tx);
        return work::put_off(core, row, now + LOOK).await;
    }
    let failed = rows::count(&tx, key(row), TargetStatus::Failed, 1).await?
        + rows::count(&tx, key(row), TargetStatus::Cancelled, 1).await?;
    let status = if failed > 0 { BatchStatus::CompletedWithErrors } else { BatchStatus::Completed };
    work::become_status(core, &tx, &locked, status, now).await?;
    tx.commit().await
}
