//! What the end of a run means for its tree: its live children end, its cost is part of its parent's, and
//! its parent wakes if it waited for that.
//!
//! The rule of costs: a run's `child_cost` is the sum of what its ended children cost with their own
//! children; a child's share is added when it ends, and what its own children cost after that goes up
//! through it (`settled_nanos` is what went up so far).
//!
//! Two invariants. **Whoever holds a run never waits for another run of its tree**: what another transaction
//! holds is passed over and looked at again, so no order of locks can deadlock. And **what is still to do
//! stands in the rows themselves** (a child that ended and is not `settled`, a run that ended with more
//! `children` than ended ones), whatever ended them: the next look finds it.

mod cascade;
mod restart;
mod settle;
mod spawn;

use chrono::{DateTime, Utc};
use entity::tasks::task_run::{self, RunStatus};
use sea_orm::DbErr;
use uuid::Uuid;

pub(super) use cascade::cascade;
pub(super) use restart::restart;
pub(super) use settle::settle;
pub use spawn::{Spawn, Wake, spawn};

use crate::db::{Column, Kind, SystemTx};

/// How many rows one look takes.
const BATCH: usize = 500;
/// How many levels one look goes up or down: more than a tree has. What is beyond is found by the next one.
const LEVELS: usize = 16;

/// A run, wherever it is.
pub type Place = (Uuid, Uuid);

/// A run that ended in this transaction.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub run: Place,
    pub parent: Option<Uuid>,
    pub has_children: bool,
}

impl Ended {
    /// `None` for a run that is live, or of no tree.
    pub fn of(run: &task_run::Model) -> Option<Self> {
        let in_tree = run.parent_run_id.is_some() || run.children > 0;
        (in_tree && run.status.is_terminal()).then_some(Self {
            run: (run.tenant_id, run.id),
            parent: run.parent_run_id,
            has_children: run.children > 0,
        })
    }
}

/// What changed in the tree.
#[derive(Debug, Default)]
pub struct Ripple {
    pub changed: Vec<(Uuid, RunStatus)>,
    /// Something was locked and passed over.
    pub again: bool,
}

impl Ripple {
    pub fn add(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.again |= other.again;
    }
}

const PLACE: [Column<Place>; 2] = [
    Column::new("tenant_id", Kind::Uuid, |run| run.0.into()),
    Column::new("id", Kind::Uuid, |run| run.1.into()),
];

/// Ends the live children of runs that ended, and settles with their parents.
pub async fn ended(tx: &SystemTx, ended: &[Ended], now: DateTime<Utc>) -> Result<Ripple, DbErr> {
    let mut ripple = Ripple::default();
    let bereaved: Vec<Place> = ended.iter().filter(|end| end.has_children).map(|end| end.run).collect();
    let mut parents: Vec<Place> = ended.iter().filter_map(|end| Some((end.run.0, end.parent?))).collect();
    if !bereaved.is_empty() {
        let (more, to_settle) = cascade(tx, bereaved, now).await?;
        ripple.add(more);
        parents.extend(to_settle);
    }
    ripple.add(settle(tx, parents, now).await?);
    Ok(ripple)
}

/// Children that ended and are not settled, and live children of runs that ended: whatever ended them.
pub async fn settle_due(tx: &SystemTx, now: DateTime<Utc>) -> Result<Ripple, DbErr> {
    let unsettled = format!(
        "SELECT DISTINCT tenant_id, parent_run_id AS id FROM task_run \
         WHERE parent_run_id IS NOT NULL AND completed_at IS NOT NULL AND NOT settled LIMIT {BATCH}"
    );
    let outlived = format!(
        "SELECT tenant_id, id FROM task_run WHERE completed_at IS NOT NULL AND children > children_ended \
         LIMIT {BATCH}"
    );
    let bereaved = places(tx, &outlived).await?;
    let mut ripple = Ripple::default();
    if !bereaved.is_empty() {
        let (more, to_settle) = cascade(tx, bereaved, now).await?;
        ripple.add(more);
        ripple.add(settle(tx, to_settle, now).await?);
    }
    let parents = places(tx, &unsettled).await?;
    ripple.again |= parents.len() >= BATCH;
    ripple.add(settle(tx, parents, now).await?);
    Ok(ripple)
}

async fn places(tx: &SystemTx, sql: &str) -> Result<Vec<Place>, DbErr> {
    let rows = tx.query(sql, Vec::new()).await?;
    rows.iter().map(|row| Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?))).collect()
}
