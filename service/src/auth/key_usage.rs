//! How much each key is used, by day and by how its requests ended. Requests are counted in memory and
//! written by the engine's sweep, many at once: a request costs no write. What was counted and not yet
//! written when a process is killed is lost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::api_key_usage::{Column, Entity};
use sea_orm::ColumnTrait as _;
use uuid::Uuid;

use crate::clock::Clock;
use crate::core::Core;
use crate::db::{Column as Cell, Kind};
use crate::error::Result;
use crate::governance::audit_logs::Recorded;

/// For how many days usage is kept.
pub const KEPT_DAYS: i64 = 90;
/// Keys and days that wait to be written; what is more is not counted.
const MOST_WAITING: usize = 20_000;
const WRITE_EVERY: TimeDelta = TimeDelta::seconds(10);
/// Keys and days of one transaction.
const BATCH: usize = 500;

/// Adds to what is stored; a key that is gone meanwhile is passed over.
const ADD: &str = "INSERT INTO api_key_usage (tenant_id, key_id, day, succeeded, refused, failed) \
     SELECT k.tenant_id, v.key_id, v.day, v.succeeded, v.refused, v.failed FROM {rows} \
     JOIN api_key k ON k.id = v.key_id WHERE k.tenant_id = $1 ORDER BY v.key_id, v.day \
     ON CONFLICT (tenant_id, key_id, day) DO UPDATE SET succeeded = api_key_usage.succeeded + excluded.succeeded, \
     refused = api_key_usage.refused + excluded.refused, failed = api_key_usage.failed + excluded.failed";

/// Requests of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered with 1xx to 3xx.
    pub succeeded: i64,
    /// Answered with 4xx.
    pub refused: i64,
    /// Answered with 5xx.
    pub failed: i64,
}

impl Counts {
    pub fn add(&mut self, more: Self) {
        self.succeeded += more.succeeded;
        self.refused += more.refused;
        self.failed += more.failed;
    }

    fn of_status(status: u16) -> Self {
        let none = Self::default();
        match status {
            500.. => Self { failed: 1, ..none },
            400.. => Self { refused: 1, ..none },
            _ => Self { succeeded: 1, ..none },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Slot {
    tenant: Uuid,
    key: Uuid,
    day: DateTime<Utc>,
}

#[derive(Default)]
struct Waiting {
    counts: HashMap<Slot, Counts>,
    written_at: DateTime<Utc>,
}

#[derive(Default)]
pub struct KeyUsage(Mutex<Waiting>);

impl KeyUsage {
    /// Counts a request that was answered with `status`.
    pub fn note(&self, clock: &Clock, tenant: Uuid, key: Uuid, status: u16) {
        self.add([(Slot { tenant, key, day: day_of(clock.now()) }, Counts::of_status(status))]);
    }

    /// What this node counted of a key and has not written yet, by day.
    pub fn waiting(&self, tenant: Uuid, key: Uuid) -> HashMap<DateTime<Utc>, Counts> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.counts.iter().filter(|(slot, _)| slot.tenant == tenant && slot.key == key);
        own.map(|(slot, counts)| (slot.day, *counts)).collect()
    }

    fn add(&self, more: impl IntoIterator<Item = (Slot, Counts)>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, counts) in more {
            if waiting.counts.len() < MOST_WAITING || waiting.counts.contains_key(&slot) {
                waiting.counts.entry(slot).or_default().add(counts);
            }
        }
    }

    fn take(&self) -> HashMap<Slot, Counts> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).counts)
    }

    fn is_time(&self, now: DateTime<Utc>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = now - waiting.written_at >= WRITE_EVERY;
        if is_time {
            waiting.written_at = now;
        }
        is_time
    }
}

/// The midnight (UTC) before.
pub fn day_of(time: DateTime<Utc>) -> DateTime<Utc> {
    time.date_naive().and_time(chrono::NaiveTime::MIN).and_utc()
}

/// Writes what was counted, if it is time.
pub async fn sweep(core: &Core) -> Result<()> {
    if core.key_usage.is_time(core.clock.now()) { flush(core).await } else { Ok(()) }
}

/// Writes what was counted. What could not be written is counted again with the next.
pub async fn flush(core: &Core) -> Result<()> {
    let mut by_tenant = HashMap::<Uuid, Vec<(Slot, Counts)>>::new();
    for (slot, counts) in core.key_usage.take() {
        by_tenant.entry(slot.tenant).or_default().push((slot, counts));
    }
    let mut outcome = Ok(());
    for (tenant, counts) in by_tenant {
        for batch in counts.chunks(BATCH) {
            if let Err(error) = write(core, tenant, batch).await {
                core.key_usage.add(batch.iter().copied());
                outcome = Err(error);
            }
        }
    }
    outcome
}

async fn write(core: &Core, tenant: Uuid, counts: &[(Slot, Counts)]) -> Result<()> {
    let columns: [Cell<(Slot, Counts)>; 5] = [
        Cell::new("key_id", Kind::Uuid, |(slot, _)| slot.key.into()),
        Cell::new("day", Kind::Time, |(slot, _)| slot.day.into()),
        Cell::new("succeeded", Kind::Int, |(_, counts)| counts.succeeded.into()),
        Cell::new("refused", Kind::Int, |(_, counts)| counts.refused.into()),
        Cell::new("failed", Kind::Int, |(_, counts)| counts.failed.into()),
    ];
    let tx = core.db.tenant(tenant).begin().await?;
    let dialect = tx.dialect();
    let sql = ADD.replace("{rows}", &dialect.rows(2, &columns));
    tx.execute(&sql, dialect.bind(&columns, counts)).await?;
    tx.commit(Recorded::bookkeeping()).await
}

/// Removes what is older than it is kept.
pub async fn forget(core: &Core, tenant: Uuid) -> Result<()> {
    let old = Column::Day.lt(day_of(core.clock.now()) - TimeDelta::days(KEPT_DAYS));
    let db = core.db.tenant(tenant);
    if db.find::<Entity>().filter(old.clone()).one().await?.is_some() {
        let tx = db.begin().await?;
        tx.delete::<Entity>(old).await?;
        tx.commit(Recorded::bookkeeping()).await?;
    }
    Ok(())
}
