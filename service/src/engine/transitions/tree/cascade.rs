//! The live children of runs that ended, or whose cancel was asked for: PENDING and WAITING → CANCELLED,
//! RUNNING → RUNNING(CANCEL_REQUESTED), all `BY_PARENT`, level by level.

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{self, RunStatus};
use sea_orm::{DbErr, FromQueryResult as _};
use serde_json::json;

use super::{LEVELS, PLACE, Place, Ripple};
use crate::db::SystemTx;
use crate::engine::transitions::{append_events, event};

/// What changed, and the parents of those that ended: their cost is to be settled.
pub async fn cascade(
    tx: &SystemTx,
    mut parents: Vec<Place>,
    now: DateTime<Utc>,
) -> Result<(Ripple, Vec<Place>), DbErr> {
    let mut ripple = Ripple::default();
    let mut to_settle = Vec::new();
    for _ in 0..LEVELS {
        if parents.is_empty() {
            break;
        }
        let cancelled = cancel_children(tx, &parents, now).await?;
        ripple.again |= anyone_left(tx, &parents).await?;
        let ended: Vec<_> = cancelled.iter().filter(|run| run.status.is_terminal()).collect();
        close_questions(tx, &ended, now).await?;
        to_settle.extend(ended.iter().filter_map(|run| Some((run.tenant_id, run.parent_run_id?))));
        // Also below those that are told only: they may be busy with one child of many.
        parents =
            cancelled.iter().filter(|run| run.children > 0).map(|run| (run.tenant_id, run.id)).collect();
        ripple.changed.extend(cancelled.iter().map(|run| (run.id, run.status)));
    }
    Ok((ripple, to_settle))
}

async fn cancel_children(
    tx: &SystemTx,
    parents: &[Place],
    now: DateTime<Utc>,
) -> Result<Vec<task_run::Model>, DbErr> {
    let dialect = tx.dialect();
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT c.tenant_id, c.id FROM {rows} \
         JOIN task_run c ON c.tenant_id = v.tenant_id AND c.parent_run_id = v.id \
         WHERE c.completed_at IS NULL AND c.reason <> 'CANCEL_REQUESTED'{lock}) \
         UPDATE task_run SET \
         status = CASE WHEN status = 'RUNNING' THEN 'RUNNING' ELSE 'CANCELLED' END, \
         reason = CASE WHEN status = 'RUNNING' THEN 'CANCEL_REQUESTED' ELSE 'BY_PARENT' END, \
         completed_at = CASE WHEN status = 'RUNNING' THEN NULL ELSE $1 END, \
         cancel_requested_at = COALESCE(cancel_requested_at, $1), cancel_reason = 'BY_PARENT', \
         wait_until = NULL, waiting_since = NULL, held_at = NULL, event_seq = event_seq + 1, updated_at = $1 \
         WHERE completed_at IS NULL AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        rows = dialect.rows(2, &PLACE),
        lock = dialect.skip_locked_of("c"),
    );
    let mut values = vec![now.into()];
    values.extend(dialect.bind(&PLACE, parents));
    let mut runs = Vec::new();
    let mut events = Vec::new();
    for row in tx.query(&sql, values).await? {
        let run = task_run::Model::from_query_result(&row, "")?;
        let kind = if run.status == RunStatus::Running { "run.cancel_requested" } else { "run.cancelled" };
        let data = json!({ "reason": run.reason, "by": "parent" });
        events.push(event(run.tenant_id, run.id, run.event_seq, kind, data, now));
        runs.push(run);
    }
    append_events(tx, &events).await?;
    Ok(runs)
}

/// Whether a live child was passed over: it is neither cancelled nor told.
async fn anyone_left(tx: &SystemTx, parents: &[Place]) -> Result<bool, DbErr> {
    let sql = format!(
        "SELECT 1 AS one FROM {rows} JOIN task_run c ON c.tenant_id = v.tenant_id AND c.parent_run_id = v.id \
         WHERE c.completed_at IS NULL AND c.reason <> 'CANCEL_REQUESTED' LIMIT 1",
        rows = tx.dialect().rows(1, &PLACE),
    );
    Ok(!tx.query(&sql, tx.dialect().bind(&PLACE, parents)).await?.is_empty())
}

/// What a cancelled run asked or waited for is nobody's any more.
async fn close_questions(tx: &SystemTx, runs: &[&task_run::Model], now: DateTime<Utc>) -> Result<(), DbErr> {
    if runs.is_empty() {
        return Ok(());
    }
    let places: Vec<Place> = runs.iter().map(|run| (run.tenant_id, run.id)).collect();
    let tables = [("approval", "PENDING", "decided"), ("run_wait", "OPEN", "answered")];
    for (table, open, ended) in tables {
        let sql = format!(
            "UPDATE {table} SET status = 'CANCELLED', {ended}_at = $1, {ended}_by = 'system', updated_at = $1 \
             WHERE status = '{open}' AND (tenant_id, run_id) IN (SELECT v.tenant_id, v.id FROM {rows})",
            rows = tx.dialect().rows(2, &PLACE),
        );
        let mut values = vec![now.into()];
        values.extend(tx.dialect().bind(&PLACE, &places));
        tx.execute(&sql, values).await?;
    }
    Ok(())
}
