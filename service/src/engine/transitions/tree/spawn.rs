//! RUNNING → WAITING(CHILDREN): the children are inserted in the transaction in which their parent begins to
//! wait. A key of each child among its parent's makes a repeated attempt start none twice.

use chrono::{DateTime, Utc};
use entity::tasks::task_run;
use sea_orm::DbErr;

use super::{Place, Ripple, settle};
use crate::db::Kind::{Int, Uuid as Id};
use crate::db::{Column, SystemTx};
use crate::engine::transitions::{NewRun, create};

/// The children that an attempt starts when it ends, and what their parent waits for.
#[derive(Clone, Debug, Default)]
pub struct Spawn {
    /// As they will be when PENDING, each with its parent, root, depth and key.
    pub children: Vec<task_run::Model>,
    pub wake: Wake,
}

/// When a parent goes on: at the latest when it has no live child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// When as many of its children have ended, of all that it ever had.
    pub ended: Option<i32>,
    /// When as many have failed or were cancelled.
    pub failed: Option<i32>,
}

impl Wake {
    /// When all its children have ended.
    pub const ALL: Self = Self { ended: None, failed: None };
}

const COLUMNS: [Column<(Place, Wake)>; 4] = [
    Column::new("tenant_id", Id, |row| row.0.0.into()),
    Column::new("id", Id, |row| row.0.1.into()),
    Column::optional("ended", Int, |row| row.1.ended.map(i64::from).into()),
    Column::optional("failed", Int, |row| row.1.failed.map(i64::from).into()),
];

/// Inserts the children of runs that began to wait in this transaction. A parent whose children have ended
/// meanwhile, or whose tenant starts nothing, wakes at once.
pub async fn spawn(tx: &SystemTx, spawns: &[(Place, &Spawn)], now: DateTime<Utc>) -> Result<Ripple, DbErr> {
    let news: Vec<NewRun> = spawns
        .iter()
        .flat_map(|(_, spawn)| &spawn.children)
        .map(|run| NewRun { run: run.clone(), request_id: None, born: None })
        .collect();
    let mut ripple = Ripple::default();
    if !news.is_empty() {
        let created = create(tx, &news.iter().collect::<Vec<_>>()).await?;
        ripple.changed.extend(created.into_values().map(|run| (run.id, run.status)));
    }
    let rows: Vec<(Place, Wake)> = spawns.iter().map(|(place, spawn)| (*place, spawn.wake)).collect();
    let sql = format!(
        "UPDATE task_run AS p SET wake_ended = v.ended, wake_failed = v.failed, \
         children = (SELECT COUNT(*) FROM task_run c \
         WHERE c.tenant_id = p.tenant_id AND c.parent_run_id = p.id) \
         FROM {rows} WHERE p.tenant_id = v.tenant_id AND p.id = v.id",
        rows = tx.dialect().rows(1, &COLUMNS),
    );
    tx.execute(&sql, tx.dialect().bind(&COLUMNS, &rows)).await?;
    ripple.add(settle(tx, rows.into_iter().map(|row| row.0).collect(), now).await?);
    Ok(ripple)
}
