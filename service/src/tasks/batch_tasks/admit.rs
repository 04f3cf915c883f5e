//! Admitting a page of targets outside of the transaction that sends them, because admission reads and counts
//! on connections of its own.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::tasks::batch_task::{BatchReason, Model};
use entity::tasks::task_run::{self, RunStatus};
use entity::tasks::task_target::{self, TargetStatus};
use sea_orm::{DbErr, FromQueryResult as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{self, Key, key};
use crate::core::Core;
use crate::ctx::{Automation, Ctx};
use crate::db::{Column, Kind, SystemDb, SystemTx};
use crate::engine::transitions;
use crate::error::{Error, FieldError, Result};
use crate::tasks::launch::Launch;
use crate::tasks::targets::{self, Wanted};

/// What keeps a batch from creating runs.
#[derive(Clone, Copy)]
pub enum Obstacle {
    /// It goes away by itself.
    Passing,
    Lasting(BatchReason),
}

/// Targets whose runs were admitted, or refused.
pub struct Page {
    pub launch: Launch,
    /// Who retries: the batch.
    pub by: String,
    /// Each names the run that it is to have.
    pub targets: Vec<task_target::Model>,
    /// The new runs, each with the run that its target had.
    pub launched: HashMap<Uuid, Option<Uuid>>,
    /// Runs that targets had and keep.
    pub former: HashMap<Uuid, Former>,
    pub refused: Vec<task_target::Model>,
    pub obstacle: Option<Obstacle>,
}

/// What is done with the run that a target had.
pub enum Former {
    /// It is tried again, with what it finished.
    Retried(Box<task_run::Model>),
    /// Somebody has retried it already: how it ends is noted.
    Adopted,
}

/// Admits targets until something keeps the batch from creating more.
pub async fn admit(
    core: &Core,
    system: &SystemDb,
    row: &Model,
    targets: Vec<task_target::Model>,
    now: DateTime<Utc>,
) -> Result<Page> {
    let ctx = Ctx::automation(core, row.tenant_id, Automation::Batch, row.id, "send_batch_targets");
    let wanted = Wanted::Definition(row.definition_id);
    let mut page = Page {
        launch: Launch::default(),
        by: ctx.actor.to_string(),
        targets: Vec::with_capacity(targets.len()),
        launched: HashMap::new(),
        former: HashMap::new(),
        refused: Vec::new(),
        obstacle: None,
    };
    // Runs that are retried are of the definition too.
    if let Err(error) = targets::resolve(&ctx, wanted).await {
        match refusal(error)? {
            Refusal::Obstacle(obstacle) => page.obstacle = Some(obstacle),
            Refusal::Input(_) => page.obstacle = Some(Obstacle::Passing),
        }
        return Ok(page);
    }
    let mut former = former(system, &targets).await?;
    for mut target in targets {
        let run = target.run_id.and_then(|run| former.remove(&run));
        let replayed = match run {
            Some(run) if !transitions::is_decided(&run) => {
                let has_failed = matches!(run.status, RunStatus::Failed | RunStatus::Cancelled);
                let id = run.id;
                page.former
                    .insert(id, if has_failed { Former::Retried(Box::new(run)) } else { Former::Adopted });
                page.targets.push(target);
                continue;
            }
            decided => decided.map(|run| run.id),
        };
        match page.launch.add(&ctx, wanted, target.input.clone()).await {
            Ok(new) => {
                new.metadata = json!({ "batchTaskId": row.id, "targetKey": target.target_key });
                new.replay_of = replayed;
                page.launched.insert(new.id, target.run_id);
                target.run_id = Some(new.id);
                page.targets.push(target);
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
pub(in crate::tasks) fn described(errors: &[FieldError]) -> String {
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

const IDS: [Column<Key>; 2] =
    [Column::new("tenant_id", Kind::Uuid, |id| id.0.into()), Column::new("id", Kind::Uuid, |id| id.1.into())];

impl Page {
    /// Leaves out what somebody else has sent meanwhile, and what is beyond the room that is left.
    pub async fn keep_pending(&mut self, tx: &SystemTx, row: &Model) -> Result<()> {
        let all = self.targets.iter().chain(&self.refused);
        let ids: Vec<Key> = all.map(|target| (target.tenant_id, target.id)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT t.id FROM {} JOIN task_target t ON t.tenant_id = v.tenant_id AND t.id = v.id \
             WHERE t.status = 'PENDING'",
            tx.dialect().rows(1, &IDS)
        );
        let rows = tx.query(&sql, tx.dialect().bind(&IDS, &ids)).await?;
        let pending: HashSet<Uuid> =
            rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?;
        let most = i64::from(row.max_in_flight);
        let running = rows::count(tx, key(row), TargetStatus::Running, most).await?;
        self.targets.retain(|target| pending.contains(&target.id));
        self.targets.truncate(usize::try_from(most - running).unwrap_or(0));
        self.refused.retain(|target| pending.contains(&target.id));
        let wanted: HashSet<Uuid> = self.targets.iter().filter_map(|target| target.run_id).collect();
        self.launch.retain(|run| wanted.contains(&run));
        Ok(())
    }
}
