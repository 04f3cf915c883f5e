//! What a time does while runs of its schedule have not ended.

use std::collections::HashMap;

use entity::tasks::schedule_fire::FireReason;
use entity::tasks::scheduled_task::Overlap;
use sea_orm::{DbErr, QueryResult};
use uuid::Uuid;

use crate::db::{Column, Dialect, Kind, SystemDb, SystemTx};

/// Fires of one schedule that may wait.
pub const MOST_WAITING: i64 = 1_000;

/// Fires of a schedule that are not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Their run has not ended.
    pub running: i64,
    pub waiting: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Start,
    Wait,
    Coalesce,
    Skip(FireReason),
}

impl Open {
    /// The turn of one more, counted from then on.
    pub fn take(&mut self, overlap: Overlap) -> Turn {
        let is_busy = self.running > 0 || self.waiting > 0;
        let turn = match overlap {
            Overlap::Allow => Turn::Start,
            _ if !is_busy => Turn::Start,
            Overlap::Skip => Turn::Skip(FireReason::Overlap),
            Overlap::QueueOne | Overlap::CancelRunning if self.waiting > 0 => Turn::Coalesce,
            Overlap::QueueOne | Overlap::CancelRunning => Turn::Wait,
            Overlap::QueueAll if self.waiting >= MOST_WAITING => Turn::Skip(FireReason::TooManyWaiting),
            Overlap::QueueAll => Turn::Wait,
        };
        match turn {
            Turn::Start => self.running += 1,
            Turn::Wait => self.waiting += 1,
            Turn::Coalesce | Turn::Skip(_) => {}
        }
        turn
    }
}

/// A schedule, by its tenant.
pub type Key = (Uuid, Uuid);

pub const KEYS: [Column<Key>; 2] = [
    Column::new("tenant_id", Kind::Uuid, |key| key.0.into()),
    Column::new("id", Kind::Uuid, |key| key.1.into()),
];

/// A run that ended is over, also if nobody has noted it yet.
fn statement(dialect: Dialect) -> String {
    format!(
        "SELECT f.tenant_id, f.schedule_id, \
         SUM(CASE WHEN f.status = 'PENDING' THEN 1 ELSE 0 END) AS waiting, \
         SUM(CASE WHEN r.status IN ('PENDING', 'RUNNING', 'WAITING') THEN 1 ELSE 0 END) AS running \
         FROM {} JOIN schedule_fire f ON f.tenant_id = v.tenant_id AND f.schedule_id = v.id \
         AND f.settled_at IS NULL \
         LEFT JOIN task_run r ON r.tenant_id = f.tenant_id AND r.id = f.run_id \
         GROUP BY f.tenant_id, f.schedule_id",
        dialect.rows(1, &KEYS)
    )
}

fn read(rows: &[QueryResult]) -> Result<HashMap<Key, Open>, DbErr> {
    let pair = |row: &QueryResult| {
        let key = (row.try_get("", "tenant_id")?, row.try_get("", "schedule_id")?);
        Ok((key, Open { running: row.try_get("", "running")?, waiting: row.try_get("", "waiting")? }))
    };
    rows.iter().map(pair).collect()
}

/// The open fires of these schedules; a schedule without any is missing.
pub async fn look(db: &SystemDb, keys: &[Key]) -> Result<HashMap<Key, Open>, DbErr> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    read(&db.query(&statement(db.dialect()), db.dialect().bind(&KEYS, keys)).await?)
}

/// The same under the locks of a transaction.
pub async fn look_in(tx: &SystemTx, keys: &[Key]) -> Result<HashMap<Key, Open>, DbErr> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    read(&tx.query(&statement(tx.dialect()), tx.dialect().bind(&KEYS, keys)).await?)
}

/// Locks those of the schedules that nobody else holds, in one order. Every change of a schedule's fires
/// happens under its lock.
pub async fn lock(tx: &SystemTx, keys: &[Key]) -> Result<Vec<QueryResult>, DbErr> {
    let sql = format!(
        "SELECT s.* FROM scheduled_task s WHERE s.deleted_at IS NULL AND (s.tenant_id, s.id) IN \
         (SELECT v.tenant_id, v.id FROM {}) ORDER BY s.tenant_id, s.id{}",
        tx.dialect().rows(1, &KEYS),
        tx.dialect().skip_locked(),
    );
    tx.query(&sql, tx.dialect().bind(&KEYS, keys)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strategy_keeps_its_word() {
        let turns = |overlap, open: Open, count| {
            let mut open = open;
            (0..count).map(|_| open.take(overlap)).collect::<Vec<_>>()
        };
        let idle = Open::default();
        let busy = Open { running: 1, waiting: 0 };
        use Turn::{Coalesce, Start, Wait};
        let skip = Turn::Skip(FireReason::Overlap);
        assert_eq!(turns(Overlap::Skip, idle, 3), [Start, skip, skip]);
        assert_eq!(turns(Overlap::QueueOne, busy, 3), [Wait, Coalesce, Coalesce]);
        assert_eq!(turns(Overlap::QueueAll, idle, 3), [Start, Wait, Wait]);
        assert_eq!(turns(Overlap::CancelRunning, busy, 2), [Wait, Coalesce]);
        assert_eq!(turns(Overlap::Allow, busy, 2), [Start, Start]);
        let full = Open { running: 1, waiting: MOST_WAITING };
        assert_eq!(turns(Overlap::QueueAll, full, 1), [Turn::Skip(FireReason::TooManyWaiting)]);
    }
}
