//! Queued runs of a paused definition leave the queue, and come back when it is resumed.
//!
//! Invariants: whether a run may start says its definition's row, which the statements that start runs ask
//! themselves; `held_at` only says where it stands. Who holds runs shares the lock of their definition until it
//! commits, and a resume changes that row: nothing is held behind a resume. Only a PENDING run is held.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{BATCH, Queue, Workspaces, is};
use crate::db::SystemTx;

/// Holds what is paused among the first `most` runs of a lane from this key on; answers with how many. The keys of
/// one definition stand together, so that a definition with many keys is passed as fast as one without.
pub async fn hold(tx: &SystemTx, queue: Queue<'_>, most: u64, now: DateTime<Utc>) -> Result<u64, DbErr> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let Queue { tenant, lane, key, .. } = queue;
    let mut values = vec![tenant.into(), lane.into(), key.into(), most.into(), now.into()];
    // Whoever may not take a run may find it, so that it stands in nobody's way.
    let taken = Queue { workspaces: Workspaces::ALL, ..queue }.taken(&mut values).indexed;
    let sql = format!(
        "WITH front AS MATERIALIZED (SELECT tenant_id, id, definition_id FROM task_run \
          WHERE status = 'PENDING' AND {taken} AND tenant_id = $1 AND lane_id = $2 AND concurrency_key >= $3 \
          ORDER BY concurrency_key, order_key, id LIMIT $4), \
         paused AS MATERIALIZED (SELECT id FROM task_definition WHERE tenant_id = $1 AND paused_at IS NOT NULL \
          AND id IN (SELECT definition_id FROM front){share}), \
         picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run WHERE {pending} AND (tenant_id, id) IN \
          (SELECT tenant_id, id FROM front WHERE definition_id IN (SELECT id FROM paused)){lock}) \
         UPDATE task_run SET held_at = $5 \
         WHERE {pending} AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked)",
        pending = is("PENDING"),
        share = tx.dialect().share_skip_locked(),
        lock = tx.dialect().skip_locked(),
    );
    Ok(tx.execute(&sql, values).await?.rows_affected())
}

/// Lets a batch of what a definition holds back into the queue, the ones in front first.
pub async fn release_held(tx: &SystemTx, tenant: Uuid, definition: Uuid) -> Result<u64, DbErr> {
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM task_run \
          WHERE status = 'PENDING' AND held_at IS NOT NULL AND tenant_id = $1 AND definition_id = $2 \
          ORDER BY order_key, id LIMIT {BATCH}{lock}) \
         UPDATE task_run SET held_at = NULL \
         WHERE {pending} AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked)",
        pending = is("PENDING"),
        lock = tx.dialect().skip_locked(),
    );
    Ok(tx.execute(&sql, vec![tenant.into(), definition.into()]).await?.rows_affected())
}

/// Notes that a definition which was resumed `since` holds nothing any more, where that is so.
pub async fn end_release(
    tx: &SystemTx,
    tenant: Uuid,
    definition: Uuid,
    since: DateTime<Utc>,
) -> Result<(), DbErr> {
    let sql = "UPDATE task_definition SET releasing_at = NULL WHERE tenant_id = $1 AND id = $2 \
         AND releasing_at = $3 AND NOT EXISTS (SELECT 1 FROM task_run r WHERE r.status = 'PENDING' \
          AND r.held_at IS NOT NULL AND r.tenant_id = $1 AND r.definition_id = $2)";
    tx.execute(sql, vec![tenant.into(), definition.into(), since.into()]).await.map(drop)
}
