//! Creating the runs of targets, a page in one transaction with the targets that they are of.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::batch_task::{BatchReason, BatchStatus, Model};
use entity::tasks::task_run::{self, RunStatus};
use entity::tasks::task_target::{self, TargetStatus};
use sea_orm::{DbErr, FromQueryResult as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{self, Key, key};
use super::{pace, settle, work};
use crate::core::Core;
use crate::ctx::{Automation, Ctx};
use crate::db::{Column, Kind, Reason, SystemDb, SystemTx};
use crate::engine::transitions;
use crate::error::{Error, Result};
use crate::tasks::launch::Launch;
use crate::tasks::targets::Wanted;

/// Runs of one transaction. On SQLite nobody else writes meanwhile.
const PAGE: usize = 128;
/// When a batch at its bounds is looked at again: runs end without telling.
const LOOK: TimeDelta = TimeDelta::milliseconds(500);
/// When one is that the queue or the tenant holds back.
const LATER: TimeDelta = TimeDelta::seconds(5);

/// What keeps a batch from creating runs.
enum Obstacle {
    /// It goes away by itself.
    Passing,
    Lasting(BatchReason),
}

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
    let mut page = admit(core, &system, row, targets, now).await?;
    let tx = system.begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(()) };
    if locked.status != BatchStatus::Running || locked.revision != row.revision {
        return Ok(());
    }
    keep_pending(&tx, row, &mut page).await?;
    let created = page.launch.create(&tx).await?;
    let by = page.by.clone();
    let mut sent = 0;
    let mut again = Vec::new();
    for target in &mut page.sent {
        let Some(run) = target.run_id else { continue };
        let is_there = match page.former.get(&run) {
            None => created.contains_key(&run),
            Some(Former::Adopted) => true,
            Some(Former::Retried) => {
                let retried = transitions::retry(&tx, row.tenant_id, run, &by, now).await?.is_some();
                if retried {
                    transitions::reopen_questions(&tx, row.tenant_id, run, now).await?;
                    again.push(run);
                }
                retried
            }
        };
        if is_there {
            (target.status, target.sent_at, target.failed_at) = (TargetStatus::Running, Some(now), None);
            (target.tries, target.error) = (target.tries + 1, None);
            sent += 1;
        }
    }
    // A tenant that is not active starts nothing: its targets wait.
    let held_back = page.sent.iter().any(|target| target.status == TargetStatus::Pending);
    page.sent.retain(|target| target.status == TargetStatus::Running);
    rows::write(&tx, &page.sent, TargetStatus::Pending, now).await?;
    rows::write(&tx, &page.refused, TargetStatus::Pending, now).await?;
    let paced = pace::used(row.rate_per_minute, row.paced_at, now, sent);
    let next = match page.obstacle {
        Some(Obstacle::Passing) => now + LATER,
        _ if held_back => now + LATER,
        _ => pace::next(row.rate_per_minute, paced, now),
    };
    let sql = "UPDATE batch_task SET paced_at = $3, next_at = $4 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), paced.into(), next.into()]).await?;
    let limit = if page.refused.is_empty() { None } else { settle::over(&tx, &locked, locked.spent_nanos).await? };
    let lasting = match page.obstacle {
        Some(Obstacle::Lasting(reason)) => Some(reason),
        _ => limit,
    };
    if let Some(reason) = lasting {
        work::pause(core, &tx, &locked, reason, now).await?;
    }
    tx.commit().await?;
    page.launch.committed(core, &created);
    for run in again {
        core.engine.announce(run, RunStatus::Pending);
    }
    Ok(())
}

/// Targets whose runs were admitted, or refused.
struct Admitted {
    launch: Launch,
    /// Who retries: the batch.
    by: String,
    sent: Vec<task_target::Model>,
    /// Runs of targets that are sent again.
    former: HashMap<Uuid, Former>,
    refused: Vec<task_target::Model>,
    obstacle: Option<Obstacle>,
}

/// What is done with the run that a target had.
enum Former {
    /// It is tried again, with what it finished.
    Retried,
    /// Somebody has retried it already: how it ends is noted.
    Adopted,
}

async fn admit(
    core: &Core,
    system: &SystemDb,
    row: &Model,
    targets: Vec<task_target::Model>,
    now: DateTime<Utc>,
) -> Result<Admitted> {
    let ctx = Ctx::automation(core, row.tenant_id, Automation::Batch, row.id, "send_batch_targets");
    let former = former(system, &targets).await?;
    let mut page = Admitted {
        launch: Launch::default(),
        by: ctx.actor.to_string(),
        sent: Vec::with_capacity(targets.len()),
        former: HashMap::new(),
        refused: Vec::new(),
        obstacle: None,
    };
    for mut target in targets {
        let run = target.run_id.and_then(|run| former.get(&run));
        if let Some(run) = run.filter(|run| !transitions::is_decided(run)) {
            let has_failed = matches!(run.status, RunStatus::Failed | RunStatus::Cancelled);
            page.former.insert(run.id, if has_failed { Former::Retried } else { Former::Adopted });
            page.sent.push(target);
            continue;
        }
        let added = page.launch.add(&ctx, Wanted::Definition(row.definition_id), target.input.clone()).await;
        match added {
            Ok(new) => {
                new.metadata = json!({ "batchTaskId": row.id, "targetKey": target.target_key });
                new.replay_of = run.map(|run| run.id);
                target.run_id = Some(new.id);
                page.sent.push(target);
            }
            Err(error) => match refusal(error)? {
                Refusal::Input(error) => {
                    (target.status, target.error) = (TargetStatus::Failed, Some(error));
                    target.failed_at = Some(now);
                    page.refused.push(target);
                }
                Refusal::Obstacle(obstacle) => {
                    page.obstacle = Some(obstacle);
                    break;
                }
            },
        }
    }
    Ok(page)
}

enum Refusal {
    /// The target's own.
    Input(Value),
    Obstacle(Obstacle),
}

fn refusal(error: Error) -> Result<Refusal> {
    Ok(match &error {
        Error::Invalid { errors } if errors.iter().any(|field| field.pointer.starts_with("/input")) => {
            Refusal::Input(json!({ "code": "input_invalid", "message": described(errors) }))
        }
        Error::RateLimited { code: "queue_full", .. } | Error::Denied { code: "tenant_suspended", .. } => {
            Refusal::Obstacle(Obstacle::Passing)
        }
        Error::Denied { code: "quota_exceeded", .. } => {
            Refusal::Obstacle(Obstacle::Lasting(BatchReason::QuotaExceeded))
        }
        Error::Conflict { code: "workspace_archived", .. } => {
            Refusal::Obstacle(Obstacle::Lasting(BatchReason::WorkspaceArchived))
        }
        Error::Invalid { .. } | Error::Conflict { code: "definition_inactive", .. } => {
            Refusal::Obstacle(Obstacle::Lasting(BatchReason::DefinitionUnavailable))
        }
        _ => return Err(error),
    })
}

/// What is wrong with an input, in a line.
pub(in crate::tasks) fn described(errors: &[crate::error::FieldError]) -> String {
    let lines = errors.iter().take(3).map(|error| format!("{}: {}", error.pointer, error.message));
    lines.collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

/// The runs of targets that are sent again.
async fn former(system: &SystemDb, targets: &[task_target::Model]) -> Result<HashMap<Uuid, task_run::Model>> {
    let runs: Vec<Key> =
        targets.iter().filter_map(|target| Some((target.tenant_id, target.run_id?))).collect();
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT r.* FROM {} JOIN task_run r ON r.tenant_id = v.tenant_id AND r.id = v.id",
        system.dialect().rows(1, &IDS)
    );
    let rows = system.query(&sql, system.dialect().bind(&IDS, &runs)).await?;
    let read = |row: &_| task_run::Model::from_query_result(row, "").map(|run| (run.id, run));
    Ok(rows.iter().map(read).collect::<Result<_, DbErr>>()?)
}

const IDS: [Column<Key>; 2] = [
    Column::new("tenant_id", Kind::Uuid, |id| id.0.into()),
    Column::new("id", Kind::Uuid, |id| id.1.into()),
];

/// Leaves out what somebody else has sent meanwhile, and what is beyond the room that is left.
async fn keep_pending(tx: &SystemTx, row: &Model, page: &mut Admitted) -> Result<()> {
    let all = page.sent.iter().chain(&page.refused);
    let ids: Vec<Key> = all.map(|target| (target.tenant_id, target.id)).collect();
    let sql = format!(
        "SELECT t.id FROM {} JOIN task_target t ON t.tenant_id = v.tenant_id AND t.id = v.id \
         WHERE t.status = 'PENDING'",
        tx.dialect().rows(1, &IDS)
    );
    let rows = tx.query(&sql, tx.dialect().bind(&IDS, &ids)).await?;
    let pending: HashSet<Uuid> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?;
    let running = rows::count(tx, key(row), TargetStatus::Running, i64::from(row.max_in_flight)).await?;
    let room = usize::try_from(i64::from(row.max_in_flight) - running).unwrap_or(0);
    page.sent.retain(|target| pending.contains(&target.id));
    page.sent.truncate(room);
    page.refused.retain(|target| pending.contains(&target.id));
    let wanted: HashSet<Uuid> = page.sent.iter().filter_map(|target| target.run_id).collect();
    page.launch.retain(|run| wanted.contains(&run));
    Ok(())
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
