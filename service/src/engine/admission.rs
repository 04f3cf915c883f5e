//! How many runs a tenant may create this month, and how many may wait: counted beside the hot path, so that
//! creating a run costs no query and no row that others wait for.
//!
//! A node counts what it creates in memory, exactly, and adds it to the tenant's row of the month once a
//! second; then it reads what all nodes added. Bounds: several nodes together may exceed the runs of a month
//! by what they create within that second, and a node that is killed forgets what it created within its
//! last one. How many runs wait is counted anew every ten seconds, when a quarter of the room is used up,
//! and before anybody is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Months, NaiveDate, NaiveTime, Utc};
use entity::identity::tenant::Plan;
use entity::tasks::task_run::RunStatus;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::db::{Column, Db, Kind, Reason};
use crate::error::{Error, Result};
use crate::identity::plans::Plans;
use crate::identity::tenant_limits::{Quota, exceeded};

/// How often what was counted is written, and what others counted is read.
const PERIOD: Duration = Duration::from_secs(1);
/// The longest that a count of waiting runs is believed, and the shortest before a refusal repeats it.
const OLD: Duration = Duration::from_secs(10);
const FRESH: Duration = Duration::from_millis(100);
/// Who is refused because too many runs wait may try again after this.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    plans: Plans,
    counts: Mutex<Counts>,
    /// What is counted is written and read by one at a time, or it would be counted twice or not at all.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Counts {
    tenants: HashMap<Uuid, Count>,
    /// Somebody writes what is counted, once a period.
    is_kept: bool,
}

/// What this node knows of a tenant.
#[derive(Clone, Copy)]
struct Count {
    plan: Plan,
    month: DateTime<Utc>,
    /// Of all nodes, as last read; and of this one since then.
    runs: i64,
    new_runs: i64,
    queued: i64,
    new_queued: i64,
    /// Places whose run is being created.
    in_flight: i64,
    queued_at: Instant,
    is_used: bool,
    /// Its plan was changed here.
    is_stale: bool,
}

/// How a tenant's runs stand now.
#[derive(Clone, Copy, Debug)]
pub struct RunUsage {
    pub this_month: i64,
    pub queued: i64,
    pub next_month: DateTime<Utc>,
}

/// A run's place within the limits, given back unless it is kept.
pub struct Place {
    admission: Admission,
    tenant: Uuid,
    month: DateTime<Utc>,
    kept: Option<RunStatus>,
}

impl Place {
    /// The run was created, with this status.
    pub fn keep(mut self, status: RunStatus) {
        self.kept = Some(status);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        let Some(count) = counts.tenants.get_mut(&self.tenant) else { return };
        count.in_flight -= 1;
        match self.kept {
            Some(RunStatus::Pending) => count.new_queued += 1,
            Some(_) => {}
            None if count.month == self.month => count.new_runs -= 1,
            None => {}
        }
    }
}

impl Admission {
    pub fn new(db: Db, clock: Clock, plans: Plans) -> Self {
        let (counts, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { db, clock, plans, counts, turn }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more run of the tenant.
    ///
    /// # Errors
    /// 403 `quota_exceeded` when the month's runs are used up, 429 `queue_full` when too many wait.
    pub async fn place(&self, tenant: Uuid) -> Result<Place> {
        if let Some(taken) = self.take(tenant, false) {
            return taken;
        }
        let turn = self.0.turn.lock().await;
        // Somebody else may have looked meanwhile.
        if let Some(taken) = self.take(tenant, false) {
            return taken;
        }
        self.refresh_in(&turn, &[tenant], true).await?;
        self.take(tenant, true).unwrap_or_else(|| Err(Error::not_found("tenant")))
    }

    /// `None` when the tenant has to be looked at first.
    fn take(&self, tenant: Uuid, looked: bool) -> Option<Result<Place>> {
        let month = month(self.0.clock.now());
        let mut counts = self.counts();
        let count =
            counts.tenants.get_mut(&tenant).filter(|count| count.month == month && !count.is_stale)?;
        let limits = self.0.plans.of(count.plan);
        let most = i64::from(limits.runs_per_month);
        if count.runs + count.new_runs >= most {
            return Some(Err(exceeded(Quota::RunsPerMonth, most)));
        }
        if count.queued + count.new_queued + count.in_flight >= i64::from(limits.queued_runs) {
            let is_sure = looked || count.queued_at.elapsed() < FRESH;
            return is_sure.then(|| {
                metrics::counter!("runs_refused_total", "limit" => "queue_full").increment(1);
                Err(Error::RateLimited { code: "queue_full", retry_after: RETRY_AFTER })
            });
        }
        count.new_runs += 1;
        count.in_flight += 1;
        count.is_used = true;
        if !std::mem::replace(&mut counts.is_kept, true) {
            tokio::spawn(self.clone().keep());
        }
        drop(counts);
        Some(Ok(Place { admission: self.clone(), tenant, month, kept: None }))
    }

    /// The tenant's plan is read again before its next run.
    pub fn forget(&self, tenant: Uuid) {
        if let Some(count) = self.counts().tenants.get_mut(&tenant) {
            count.is_stale = true;
        }
    }

    /// How the tenant's runs stand, with what this node has not written yet.
    pub async fn usage(&self, tenant: Uuid) -> Result<RunUsage> {
        self.refresh(&[tenant], true).await?;
        let count = self.counts().tenants.get(&tenant).copied().ok_or(Error::not_found("tenant"))?;
        let next_month = count.month.checked_add_months(Months::new(1)).unwrap_or(count.month);
        Ok(RunUsage { this_month: count.runs + count.new_runs, queued: count.queued, next_month })
    }

    /// Writes what is counted once a period, until nothing is: then what others do is not looked at either.
    async fn keep(self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let used = {
                let mut counts = self.counts();
                counts
                    .tenants
                    .retain(|_, count| count.is_used || count.new_runs != 0 || count.in_flight != 0);
                if counts.tenants.is_empty() {
                    counts.is_kept = false;
                    return;
                }
                counts.tenants.values_mut().for_each(|count| count.is_used = false);
                counts.tenants.keys().copied().collect::<Vec<_>>()
            };
            if let Err(error) = self.refresh(&used, false).await {
                tracing::warn!(%error, "the runs of tenants could not be counted");
            }
        }
    }

    /// Writes everything that this node counted: before it stops.
    pub async fn write(&self) -> Result<()> {
        let tenants: Vec<_> = self.counts().tenants.keys().copied().collect();
        if tenants.is_empty() { Ok(()) } else { self.refresh(&tenants, false).await }
    }

    /// Writes what was counted of these tenants, and reads how they stand.
    async fn refresh(&self, tenants: &[Uuid], count_queued: bool) -> Result<()> {
        let turn = self.0.turn.lock().await;
        self.refresh_in(&turn, tenants, count_queued).await
    }

    async fn refresh_in(
        &self,
        _: &tokio::sync::MutexGuard<'_, ()>,
        tenants: &[Uuid],
        count_queued: bool,
    ) -> Result<()> {
        let (added, looks) = self.begin(tenants, count_queued);
        if let Err(error) = add(&self.0.db, &added).await {
            let mut counts = self.counts();
            for (tenant, _, runs) in added {
                if let Some(count) = counts.tenants.get_mut(&tenant) {
                    count.new_runs += runs;
                    count.runs -= runs;
                }
            }
            return Err(error);
        }
        let month = month(self.0.clock.now());
        let most = Plans::ALL.into_iter().map(|plan| self.0.plans.of(plan).queued_runs).max().unwrap_or(0);
        let found = look(&self.0.db, month, i64::from(most) + 1, &looks).await?;
        let mut counts = self.counts();
        for Found { tenant, plan, runs, queued } in found {
            let new = Count {
                plan,
                month,
                runs,
                new_runs: 0,
                queued: 0,
                new_queued: 0,
                in_flight: 0,
                queued_at: Instant::now(),
                is_used: false,
                is_stale: false,
            };
            let count = counts.tenants.entry(tenant).or_insert(new);
            (count.plan, count.month, count.runs, count.is_stale) = (plan, month, runs, false);
            if let Some(queued) = queued {
                let seen = looks.iter().find(|look| look.tenant == tenant).map_or(0, |look| look.seen);
                count.new_queued -= seen;
                (count.queued, count.queued_at) = (queued, Instant::now());
            }
        }
        Ok(())
    }

    /// Moves what this node counted to what all nodes did, and says what is to be looked at.
    fn begin(&self, tenants: &[Uuid], count_queued: bool) -> (Vec<Added>, Vec<Look>) {
        let mut counts = self.counts();
        let (mut added, mut looks) = (Vec::new(), Vec::with_capacity(tenants.len()));
        for tenant in tenants {
            let Some(count) = counts.tenants.get_mut(tenant) else {
                looks.push(Look { tenant: *tenant, queued: true, seen: 0 });
                continue;
            };
            let new_runs = std::mem::take(&mut count.new_runs);
            if new_runs != 0 {
                count.runs += new_runs;
                added.push((*tenant, count.month, new_runs));
            }
            let room = i64::from(self.0.plans.of(count.plan).queued_runs) - count.queued;
            let is_due = count.new_queued > room / 4 || count.queued_at.elapsed() >= OLD;
            looks.push(Look { tenant: *tenant, queued: count_queued || is_due, seen: count.new_queued });
        }
        (added, looks)
    }
}

/// The first moment of the calendar month, in UTC.
fn month(now: DateTime<Utc>) -> DateTime<Utc> {
    let first = NaiveDate::from_ymd_opt(now.year(), now.month(), 1).unwrap_or_default();
    first.and_time(NaiveTime::MIN).and_utc()
}

/// Runs that a tenant created in a month.
type Added = (Uuid, DateTime<Utc>, i64);

const ADDED: [Column<Added>; 3] = [
    Column::new("tenant_id", Kind::Uuid, |added| added.0.into()),
    Column::new("month", Kind::Time, |added| added.1.into()),
    Column::new("runs", Kind::Int, |added| added.2.into()),
];

async fn add(db: &Db, added: &[Added]) -> Result<()> {
    if added.is_empty() {
        return Ok(());
    }
    // In one order, so that no two nodes wait for each other. What is being erased gets no new row.
    let sql = format!(
        "INSERT INTO run_usage (tenant_id, month, runs) SELECT v.tenant_id, v.month, v.runs FROM {} \
         JOIN tenant t ON t.id = v.tenant_id AND t.status <> 'ERASING' WHERE true \
         ORDER BY v.tenant_id ON CONFLICT (tenant_id, month) DO UPDATE SET runs = run_usage.runs + excluded.runs",
        db.dialect().rows(1, &ADDED)
    );
    let tx = db.system(Reason::Engine).begin().await?;
    tx.execute(&sql, tx.dialect().bind(&ADDED, added)).await?;
    tx.commit().await
}

#[derive(Clone, Copy)]
struct Look {
    tenant: Uuid,
    /// Whether the runs that wait are counted.
    queued: bool,
    /// How many this node had queued when it was decided.
    seen: i64,
}

struct Found {
    tenant: Uuid,
    plan: Plan,
    runs: i64,
    queued: Option<i64>,
}

const LOOKED: [Column<Look>; 2] = [
    Column::new("tenant_id", Kind::Uuid, |look| look.tenant.into()),
    Column::new("counts", Kind::Bool, |look| look.queued.into()),
];

async fn look(db: &Db, month: DateTime<Utc>, most: i64, looks: &[Look]) -> Result<Vec<Found>> {
    let sql = format!(
        "SELECT t.id, t.plan, COALESCE(u.runs, 0) AS runs, CASE WHEN v.counts THEN \
         (SELECT COUNT(*) FROM (SELECT 1 AS one FROM task_run r WHERE r.tenant_id = t.id \
          AND r.status = 'PENDING' AND r.capability IS NULL AND r.held_at IS NULL \
          UNION ALL SELECT 1 FROM task_run r WHERE r.tenant_id = t.id \
          AND r.status = 'PENDING' AND r.capability IS NOT NULL AND r.held_at IS NULL \
          UNION ALL SELECT 1 FROM task_run r WHERE r.tenant_id = t.id \
          AND r.status = 'PENDING' AND r.held_at IS NOT NULL LIMIT $2) q) END AS queued \
         FROM {} JOIN tenant t ON t.id = v.tenant_id \
         LEFT JOIN run_usage u ON u.tenant_id = t.id AND u.month = $1",
        db.dialect().rows(3, &LOOKED)
    );
    let values = [vec![month.into(), most.into()], db.dialect().bind(&LOOKED, looks)].concat();
    let rows = db.system(Reason::Engine).query(&sql, values).await?;
    let found = rows.iter().map(|row| {
        Ok(Found {
            tenant: row.try_get("", "id")?,
            plan: row.try_get("", "plan")?,
            runs: row.try_get("", "runs")?,
            queued: row.try_get("", "queued")?,
        })
    });
    found.collect()
}
