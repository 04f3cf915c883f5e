//! Noting how the runs of targets ended, and what that means for the batch.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::batch_task::{BatchReason, Model};
use entity::tasks::task_run::RunStatus;
use entity::tasks::task_target::{self, TargetStatus};
use sea_orm::FromQueryResult as _;
use serde_json::json;

use super::rows::{self, key};
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::Result;

pub const PAGE: usize = 500;

/// Targets whose run ended, and has the cost of its children; a run that retention removed has ended long ago.
const ENDED: &str = "SELECT t.*, r.status AS run_status, r.reason AS run_reason, r.error AS run_error, \
     r.cost_nanos + r.child_cost_nanos AS run_cost FROM task_target t \
     LEFT JOIN task_run r ON r.tenant_id = t.tenant_id AND r.id = t.run_id \
     WHERE t.tenant_id = $1 AND t.batch_id = $2 AND t.status = 'RUNNING' \
     AND (r.id IS NULL OR (r.status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND r.children_ended >= r.children)) \
     ORDER BY t.number LIMIT $3";

/// Settles a page; how many targets were looked at.
pub async fn page(core: &Core, row: &Model, now: DateTime<Utc>) -> Result<usize> {
    let system = core.db.system(Reason::Engine);
    let most = i64::try_from(PAGE).unwrap_or(0);
    let found = system.query(ENDED, vec![row.tenant_id.into(), row.id.into(), most.into()]).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut targets = Vec::with_capacity(found.len());
    let mut spent = Vec::with_capacity(found.len());
    for row in &found {
        let mut target = task_target::Model::from_query_result(row, "")?;
        let run = row.try_get::<Option<i64>>("", "run_cost")?;
        let cost = run.map_or(target.cost_nanos, |run| target.former_cost_nanos + Nanos(run));
        spent.push((target.id, cost.0 - target.cost_nanos.0));
        target.cost_nanos = cost;
        let error: Option<serde_json::Value> = row.try_get("", "run_error")?;
        let reason: Option<String> = row.try_get("", "run_reason")?;
        match row.try_get::<Option<RunStatus>>("", "run_status")? {
            Some(RunStatus::Completed) => {
                (target.status, target.completed_at) = (TargetStatus::Completed, Some(now));
                target.error = None;
            }
            Some(RunStatus::Cancelled) => {
                (target.status, target.failed_at) = (TargetStatus::Cancelled, Some(now));
                target.error = Some(json!({ "code": "cancelled", "message": "The run was cancelled." }));
            }
            _ => {
                (target.status, target.failed_at) = (TargetStatus::Failed, Some(now));
                let code = reason.unwrap_or_else(|| "run_gone".to_owned()).to_lowercase();
                target.error = error.or(Some(json!({ "code": code, "message": "The run failed." })));
            }
        }
        targets.push(target);
    }
    let tx = system.begin().await?;
    let Some(locked) = rows::lock(&tx, key(row)).await? else { return Ok(0) };
    let written = rows::write(&tx, &targets, TargetStatus::Running, now).await?;
    let cost: i64 = spent.iter().filter(|(id, _)| written.contains(id)).map(|(_, cost)| *cost).sum();
    let sql = "UPDATE batch_task SET spent_nanos = spent_nanos + $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), cost.into()]).await?;
    if let Some(reason) = over(&tx, &locked, Nanos(locked.spent_nanos.0 + cost)).await? {
        super::work::pause(core, &tx, &locked, reason, now).await?;
    }
    tx.commit().await?;
    Ok(found.len())
}

/// Which limit of the batch is reached.
pub async fn over(tx: &SystemTx, row: &Model, spent: Nanos) -> Result<Option<BatchReason>> {
    if row.max_cost_nanos.is_some_and(|most| spent >= most) {
        return Ok(Some(BatchReason::Budget));
    }
    let Some(most) = row.max_failures.map(i64::from) else { return Ok(None) };
    let failed = rows::count(tx, key(row), TargetStatus::Failed, most + 1).await?;
    Ok((failed > most).then_some(BatchReason::Failures))
}
