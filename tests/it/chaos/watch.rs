//! Looks at the database while everything goes on: limits are kept and rows are whole at every moment, and what is
//! journaled by a moment is known.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DbErr, QueryResult};
use service::clock::Clock;
use service::db::{Db, Reason};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::targets::{NARROW, Targets};

const EVERY: Duration = Duration::from_millis(40);

pub struct Watch {
    db: Db,
    clock: Clock,
    live: AtomicI64,
    pub samples: AtomicU64,
    pub most_narrow: AtomicI64,
    seen: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When a model turn was first known to be durable.
    turns: HashMap<(Uuid, i32), DateTime<Utc>>,
    /// The lease of each attempt, by run and attempt, with the latest end that was seen.
    leases: HashMap<(Uuid, i32), Lease>,
    wrong: Vec<String>,
}

#[derive(Clone)]
pub struct Lease {
    /// The node's name, if a node holds it.
    pub node: Option<String>,
    pub until: DateTime<Utc>,
}

/// Live runs that no state of engine.md allows.
const TORN: &str = "SELECT id, status, reason FROM task_run WHERE \
     (status = 'RUNNING' AND (lease_owner IS NULL OR lease_expires_at IS NULL)) \
     OR (status <> 'RUNNING' AND (lease_owner IS NOT NULL OR lease_expires_at IS NOT NULL)) \
     OR (status = 'WAITING' AND wait_until IS NULL AND reason <> 'CHILDREN') \
     OR (status IN ('COMPLETED', 'FAILED', 'CANCELLED')) <> (completed_at IS NOT NULL)";

const CROWDED: &str = "SELECT concurrency_key, COUNT(*) AS number FROM task_run \
     WHERE status = 'RUNNING' AND concurrency_key <> '' GROUP BY tenant_id, concurrency_key HAVING COUNT(*) > 1";

const DOUBLES: &str = "SELECT dedupe_key, COUNT(*) AS number FROM task_run \
     WHERE dedupe_key IS NOT NULL AND status IN ('PENDING', 'RUNNING', 'WAITING') \
     GROUP BY tenant_id, dedupe_key HAVING COUNT(*) > 1";

impl Watch {
    pub fn new(db: Db, clock: Clock) -> Self {
        let (live, samples, most_narrow) = Default::default();
        Self { db, clock, live, samples, most_narrow, seen: Mutex::default() }
    }

    /// How many runs had not ended when it last looked.
    pub fn live(&self) -> i64 {
        self.live.load(Ordering::Relaxed)
    }

    pub fn wrong(&self) -> Vec<String> {
        self.seen.lock().unwrap().wrong.clone()
    }

    pub fn turn_known(&self, run: Uuid, turn: i32) -> Option<DateTime<Utc>> {
        self.seen.lock().unwrap().turns.get(&(run, turn)).copied()
    }

    pub fn lease(&self, run: Uuid, attempt: i32) -> Option<Lease> {
        self.seen.lock().unwrap().leases.get(&(run, attempt)).cloned()
    }

    pub async fn look_on(&self, targets: &Targets, stop: CancellationToken) {
        let mut since = self.clock.now();
        while !stop.is_cancelled() {
            tokio::time::sleep(EVERY).await;
            let now = self.clock.now();
            // The database may have just cut this connection off, too; and it may be slow.
            if self.look(targets, since - TimeDelta::seconds(5)).await.is_ok() {
                since = now;
                self.samples.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn rows(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<Vec<QueryResult>, DbErr> {
        self.db.system(Reason::Operations).query(sql, values).await
    }

    async fn look(&self, targets: &Targets, since: DateTime<Utc>) -> Result<(), DbErr> {
        let sql = "SELECT COUNT(*) AS number FROM task_run WHERE status = 'RUNNING' AND agent_id = $1";
        let rows = self.rows(sql, vec![targets.narrow.into()]).await?;
        let narrow: i64 = rows[0].try_get("", "number")?;
        self.most_narrow.fetch_max(narrow, Ordering::Relaxed);
        if narrow > NARROW {
            self.report(format!("{narrow} runs of an agent executed at once, {NARROW} may"));
        }
        for row in self.rows(CROWDED, Vec::new()).await? {
            let key: String = row.try_get("", "concurrency_key")?;
            self.report(format!("several runs with the concurrency key {key} executed at once"));
        }
        for row in self.rows(TORN, Vec::new()).await? {
            let (id, status, reason): (Uuid, String, String) =
                (row.try_get("", "id")?, row.try_get("", "status")?, row.try_get("", "reason")?);
            self.report(format!(
                "{id} is {status}({reason}) with what does not belong to it, or without what does"
            ));
        }
        for row in self.rows(DOUBLES, Vec::new()).await? {
            let key: String = row.try_get("", "dedupe_key")?;
            self.report(format!("several live runs have the dedupe key {key}"));
        }
        let sql = "SELECT COUNT(*) AS number FROM task_run WHERE status IN ('PENDING', 'RUNNING', 'WAITING')";
        let rows = self.rows(sql, Vec::new()).await?;
        self.live.store(rows[0].try_get("", "number")?, Ordering::Relaxed);
        self.leases().await?;
        self.journaled(since).await
    }

    async fn leases(&self) -> Result<(), DbErr> {
        let sql = "SELECT r.id, r.attempt, r.lease_expires_at, n.name FROM task_run r \
                   LEFT JOIN engine_node n ON n.id = r.lease_owner WHERE r.status = 'RUNNING'";
        let rows = self.rows(sql, Vec::new()).await?;
        let mut seen = self.seen.lock().unwrap();
        for row in rows {
            let Some(until) = row.try_get("", "lease_expires_at")? else { continue };
            let lease = Lease { node: row.try_get("", "name")?, until };
            seen.leases.insert((row.try_get("", "id")?, row.try_get("", "attempt")?), lease);
        }
        Ok(())
    }

    /// Times are those after the look: what is asked later is asked although it is journaled.
    async fn journaled(&self, since: DateTime<Utc>) -> Result<(), DbErr> {
        let sql = "SELECT run_id, turn FROM run_step WHERE kind = 'MODEL' AND status = 'COMPLETED' AND completed_at >= $1";
        let rows = self.rows(sql, vec![since.into()]).await?;
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap();
        for row in rows {
            seen.turns.entry((row.try_get("", "run_id")?, row.try_get("", "turn")?)).or_insert(now);
        }
        Ok(())
    }

    fn report(&self, wrong: String) {
        let mut seen = self.seen.lock().unwrap();
        if seen.wrong.len() < 100 && !seen.wrong.contains(&wrong) {
            seen.wrong.push(wrong);
        }
    }
}
