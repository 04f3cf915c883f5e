//! The rows of a batch, read and locked.

use entity::tasks::batch_task::Model;
use entity::tasks::task_target::{self, TargetStatus};
use sea_orm::{ActiveEnum as _, DbErr, FromQueryResult as _};
use uuid::Uuid;

use crate::db::{Column, Kind, SystemDb, SystemTx};
use crate::error::Result;

/// A batch, or a target, by its tenant.
pub(in crate::tasks) type Key = (Uuid, Uuid);

pub(in crate::tasks) fn key(row: &Model) -> Key {
    (row.tenant_id, row.id)
}

/// The batch, held until the transaction ends; none that is deleted.
pub(in crate::tasks) async fn lock(tx: &SystemTx, key: Key) -> Result<Option<Model>> {
    let sql = format!(
        "SELECT * FROM batch_task WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL{}",
        tx.dialect().for_update()
    );
    let found = tx.query(&sql, vec![key.0.into(), key.1.into()]).await?;
    Ok(found.first().map(|row| Model::from_query_result(row, "")).transpose()?)
}

const COUNT: &str = "SELECT COUNT(*) AS counted FROM (SELECT 1 AS one FROM task_target \
     WHERE tenant_id = $1 AND batch_id = $2 AND status = $3 LIMIT $4) t";

/// How many targets have the status, counted no further than `most`.
pub async fn count(tx: &SystemTx, key: Key, status: TargetStatus, most: i64) -> Result<i64, DbErr> {
    let values = vec![key.0.into(), key.1.into(), status.to_value().into(), most.into()];
    let rows = tx.query(COUNT, values).await?;
    rows.first().map_or(Ok(0), |row| row.try_get("", "counted"))
}

/// The first targets of the status behind a number, in their order.
pub async fn targets(
    db: &SystemDb,
    key: Key,
    status: TargetStatus,
    after: i32,
    most: usize,
) -> Result<Vec<task_target::Model>> {
    let sql = "SELECT * FROM task_target WHERE tenant_id = $1 AND batch_id = $2 AND status = $3 AND number > $4 \
         ORDER BY number LIMIT $5";
    let most = i64::try_from(most).unwrap_or(0);
    let values = vec![key.0.into(), key.1.into(), status.to_value().into(), after.into(), most.into()];
    let rows = db.query(sql, values).await?;
    Ok(rows.iter().map(|row| task_target::Model::from_query_result(row, "")).collect::<Result<_, _>>()?)
}

const TARGETS: [Column<task_target::Model>; 11] = [
    Column::new("of_tenant", Kind::Uuid, |target| target.tenant_id.into()),
    Column::new("of_id", Kind::Uuid, |target| target.id.into()),
    Column::new("new_status", Kind::Text, |target| target.status.to_value().into()),
    Column::optional("new_run", Kind::Uuid, |target| target.run_id.into()),
    Column::new("new_tries", Kind::Int, |target| i64::from(target.tries).into()),
    Column::optional("new_error", Kind::Json, |target| target.error.clone().into()),
    Column::new("new_cost", Kind::Int, |target| target.cost_nanos.0.into()),
    Column::new("new_former_cost", Kind::Int, |target| target.former_cost_nanos.0.into()),
    Column::optional("new_sent", Kind::Time, |target| target.sent_at.into()),
    Column::optional("new_completed", Kind::Time, |target| target.completed_at.into()),
    Column::optional("new_failed", Kind::Time, |target| target.failed_at.into()),
];

/// Writes what became of targets that had the status `from`; the ids of those that had.
pub async fn write(
    tx: &SystemTx,
    targets: &[task_target::Model],
    from: TargetStatus,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "UPDATE task_target AS t SET status = new_status, run_id = new_run, tries = new_tries, error = new_error, \
         cost_nanos = new_cost, former_cost_nanos = new_former_cost, sent_at = new_sent, completed_at = new_completed, failed_at = new_failed, \
         updated_at = $1 FROM {} WHERE t.tenant_id = of_tenant AND t.id = of_id AND t.status = $2 RETURNING id",
        tx.dialect().rows(3, &TARGETS),
    );
    let values = [vec![now.into(), from.to_value().into()], tx.dialect().bind(&TARGETS, targets)].concat();
    tx.query(&sql, values).await?.iter().map(|row| row.try_get("", "id")).collect()
}
