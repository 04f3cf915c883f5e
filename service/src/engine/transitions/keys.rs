//! What the keys of a run decide: whether it is created, and how many of a concurrency key execute.
//!
//! Invariants: who counts the runs of a concurrency key to let one more start, or be created, holds the key's
//! lock until it commits; so the limits hold over all nodes. Who waits for that lock holds no run.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::{Model, RunReason};
use sea_orm::{DbErr, FromQueryResult as _, QueryResult, Value};
use uuid::Uuid;

use super::{CancelOutcome, NewRun, Queue, cancel, close_questions, create, is};
use crate::db::{Column, Dialect, Kind, SystemDb, SystemTx};
use crate::engine::policy::{KeyRule, RunPolicy, Strategy};

/// Cancelled for one new run at most; more can only be there since the limit was lowered.
const MOST_CANCELLED: i64 = 100;

/// The runs of a key that have not ended, in words that their index answers to.
const LIVE: &str = "tenant_id = $1 AND concurrency_key = $2 AND concurrency_key <> '' \
                    AND status IN ('PENDING', 'RUNNING', 'WAITING')";

/// What became of a run whose keys decide whether it is created.
#[derive(Debug)]
pub enum Admitted {
    /// It is there, with the runs that were cancelled, or told to end, in its favour.
    New { run: Box<Model>, cancelled: Vec<Model> },
    /// Another answers for its dedupe key.
    Duplicate(Box<Model>),
    /// As many runs of its concurrency key are live as may be.
    Refused { limit: u32 },
    /// It was not inserted, as [`create`] says.
    Missing,
}

/// Whether [`admit`] decides about the run, and not its insertion alone.
pub fn decide(run: &Model) -> bool {
    rule(run).is_some_and(|rule| rule.strategy != Strategy::Queue) || dedupe_seconds(run).is_some()
}

fn rule(run: &Model) -> Option<KeyRule> {
    if run.concurrency_key.is_empty() { None } else { RunPolicy::of(run).concurrency }
}

/// Of its definition's key; one that the request gave is good while its run is live.
fn dedupe_seconds(run: &Model) -> Option<u32> {
    let is_own = |key: &&String| run.definition_id.is_some_and(|id| key.starts_with(&id.to_string()));
    run.dedupe_key.as_ref().filter(is_own).and_then(|_| RunPolicy::of(run).dedupe_seconds)
}

fn lock_name(tenant: Uuid, key: &str) -> String {
    format!("run-key/{tenant}/{key}")
}

/// Several of them, in one order over all callers.
pub async fn admit_all(tx: &SystemTx, mut runs: Vec<NewRun>) -> Result<Vec<(Uuid, Admitted)>, DbErr> {
    runs.sort_by_cached_key(|new| {
        (new.run.tenant_id, new.run.dedupe_key.clone(), new.run.concurrency_key.clone())
    });
    let mut admitted = Vec::with_capacity(runs.len());
    for new in runs {
        admitted.push((new.run.id, admit(tx, new).await?));
    }
    Ok(admitted)
}

/// The live run that has the dedupe key of one that was not inserted: statement and values.
pub fn live_duplicate(run: &Model) -> Option<(String, Vec<Value>)> {
    let mut values = vec![run.tenant_id.into(), run.dedupe_key.clone()?.into()];
    // Each has its index.
    let within = match run.workspace_id {
        None => "workspace_id IS NULL",
        Some(id) => {
            values.push(id.into());
            "workspace_id = $3"
        }
    };
    let sql = format!(
        "SELECT * FROM task_run WHERE tenant_id = $1 AND dedupe_key = $2 AND {within} \
         AND status IN ('PENDING', 'RUNNING', 'WAITING')"
    );
    Some((sql, values))
}

/// Creates a run as its keys allow.
pub async fn admit(tx: &SystemTx, new: NewRun) -> Result<Admitted, DbErr> {
    let now = new.run.created_at;
    if let Some(run) = claimed_by_other(tx, &new.run, now).await? {
        return Ok(Admitted::Duplicate(Box::new(run)));
    }
    let (tenant, id, key) = (new.run.tenant_id, new.run.id, new.run.concurrency_key.clone());
    let (mut over, mut strategy) = (0, Strategy::Queue);
    if let Some(rule) = rule(&new.run).filter(|rule| rule.strategy != Strategy::Queue) {
        tx.lock(&lock_name(tenant, &key)).await?;
        let sql =
            format!("SELECT COUNT(*) AS live FROM task_run WHERE {LIVE} AND reason <> 'CANCEL_REQUESTED'");
        let rows = tx.query(&sql, vec![tenant.into(), key.clone().into()]).await?;
        let live: i64 = rows.first().map_or(Ok(0), |row| row.try_get("", "live"))?;
        (over, strategy) = (live + 1 - i64::from(rule.limit), rule.strategy);
        if over > 0 && strategy == Strategy::Reject {
            return Ok(Admitted::Refused { limit: rule.limit });
        }
    }
    // Nothing gives way to a run that is not created.
    let Some(run) = create(tx, &[&new]).await?.remove(&id) else { return Ok(Admitted::Missing) };
    let (mut run, mut cancelled) = (Box::new(run), Vec::new());
    match strategy {
        _ if over <= 0 => {}
        Strategy::Queue | Strategy::Reject => {}
        Strategy::CancelOldest => cancelled = cancel_oldest(tx, &run, over, now).await?,
        Strategy::CancelNewest => {
            let outcome = cancel(tx, tenant, id, RunReason::ByPolicy, "system", now).await?;
            if let CancelOutcome::Cancelled(ended) | CancelOutcome::Requested(ended) = outcome {
                run = ended;
            }
        }
    }
    Ok(Admitted::New { run, cancelled })
}

/// The run that answers for the new one's dedupe key; else the key is the new one's for its time. Who comes at
/// the same moment waits here for the other's commit: by a lock, because a statement that waits for the key's
/// row does not see the run that was committed with it.
async fn claimed_by_other(tx: &SystemTx, run: &Model, now: DateTime<Utc>) -> Result<Option<Model>, DbErr> {
    let (Some(seconds), Some(key)) = (dedupe_seconds(run), &run.dedupe_key) else { return Ok(None) };
    tx.lock(&format!("run-dedupe/{}/{key}", run.tenant_id)).await?;
    let until = now + TimeDelta::seconds(i64::from(seconds));
    let take = "INSERT INTO run_dedupe (tenant_id, key, run_id, expires_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant_id, key) DO UPDATE SET run_id = excluded.run_id, expires_at = excluded.expires_at \
         WHERE run_dedupe.expires_at <= $5 OR NOT EXISTS (SELECT 1 FROM task_run r \
          WHERE r.tenant_id = run_dedupe.tenant_id AND r.id = run_dedupe.run_id)";
    let values = vec![run.tenant_id.into(), key.clone().into(), run.id.into(), until.into(), now.into()];
    if tx.execute(take, values).await?.rows_affected() > 0 {
        return Ok(None);
    }
    let sql = "SELECT r.* FROM run_dedupe d JOIN task_run r ON r.tenant_id = d.tenant_id AND r.id = d.run_id \
         WHERE d.tenant_id = $1 AND d.key = $2";
    let rows = tx.query(sql, vec![run.tenant_id.into(), key.clone().into()]).await?;
    rows.first().map(|row| Model::from_query_result(row, "")).transpose()
}

/// Ids are in the order of creation.
async fn cancel_oldest(
    tx: &SystemTx,
    new: &Model,
    over: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    let sql = format!(
        "SELECT id FROM task_run WHERE {LIVE} AND reason <> 'CANCEL_REQUESTED' AND id <> $4 ORDER BY id LIMIT $3"
    );
    let values = vec![
        new.tenant_id.into(),
        new.concurrency_key.clone().into(),
        over.min(MOST_CANCELLED).into(),
        new.id.into(),
    ];
    let mut cancelled = Vec::new();
    for row in tx.query(&sql, values).await? {
        let id = row.try_get("", "id")?;
        match cancel(tx, new.tenant_id, id, RunReason::ByPolicy, "system", now).await? {
            CancelOutcome::Cancelled(run) | CancelOutcome::Requested(run) => cancelled.push(*run),
            CancelOutcome::NotLive => continue,
        }
        close_questions(tx, new.tenant_id, id, now).await?;
    }
    Ok(cancelled)
}

/// The runs with the reason that they are created with: behind as many of its key as may execute, one whose
/// strategy is QUEUE waits for a slot. Only what is shown depends on it.
pub(super) async fn with_reasons<'a>(
    tx: &SystemTx,
    runs: &[&'a NewRun],
) -> Result<Vec<Cow<'a, NewRun>>, DbErr> {
    let queues = |new: &&&NewRun| rule(&new.run).is_some_and(|rule| rule.strategy == Strategy::Queue);
    let keyed: Vec<&NewRun> = runs.iter().filter(queues).copied().collect();
    let mut runs: Vec<_> = runs.iter().copied().map(Cow::Borrowed).collect();
    if keyed.is_empty() {
        return Ok(runs);
    }
    let limit = |run: &Model| rule(run).map_or(i64::MAX, |rule| i64::from(rule.limit));
    let most = keyed.iter().map(|new| limit(&new.run)).max().unwrap_or(0).min(1_000);
    let columns: [Column<NewRun>; 2] = [
        Column::new("tenant_id", Kind::Uuid, |new| new.run.tenant_id.into()),
        Column::new("concurrency_key", Kind::Text, |new| new.run.concurrency_key.clone().into()),
    ];
    let sql = format!(
        "SELECT v.ord, (SELECT COUNT(*) FROM (SELECT 1 AS one FROM task_run r WHERE r.tenant_id = v.tenant_id \
         AND r.concurrency_key = v.concurrency_key AND r.concurrency_key <> '' \
         AND r.status IN ('PENDING', 'RUNNING', 'WAITING') AND r.status <> 'WAITING' AND r.reason <> 'DELAYED' LIMIT $1) q) AS live FROM {}",
        tx.dialect().rows(2, &columns)
    );
    let values = [vec![most.into()], tx.dialect().bind(&columns, &keyed)].concat();
    let mut live = HashMap::with_capacity(keyed.len());
    for row in tx.query(&sql, values).await? {
        let at = usize::try_from(row.try_get::<i64>("", "ord")? - 1).unwrap_or(usize::MAX);
        if let Some(new) = keyed.get(at) {
            live.insert(
                (new.run.tenant_id, new.run.concurrency_key.clone()),
                row.try_get::<i64>("", "live")?,
            );
        }
    }
    for new in &mut runs {
        if let Some(count) = live.get_mut(&(new.run.tenant_id, new.run.concurrency_key.clone())) {
            if new.run.reason != RunReason::Queued {
                continue;
            }
            if *count >= limit(&new.run) {
                new.to_mut().run.reason = RunReason::ConcurrencyLimit;
            }
            *count += 1;
        }
    }
    Ok(runs)
}

/// How many more runs of the key may start, which the key's lock keeps true until the commit. `None` when another
/// node looks at it now: waiting for it could lock two nodes against each other.
pub async fn free_slots(tx: &SystemTx, tenant: Uuid, key: &str) -> Result<Option<u64>, DbErr> {
    if !tx.try_lock(&lock_name(tenant, key)).await? {
        return Ok(None);
    }
    let rows = tx.query(&limit_and_running(tx.dialect()), of_key(tenant, key)).await?;
    let free = |(limit, running): (i64, i64)| u64::try_from(limit - running).unwrap_or(0);
    Ok(Some(read_limit(&rows)?.map_or(u64::MAX, free)))
}

/// How many runs of the key may execute, and how many do; `None` when its definition limits them no more.
pub async fn key_limit(db: &SystemDb, tenant: Uuid, key: &str) -> Result<Option<(i64, i64)>, DbErr> {
    read_limit(&db.query(&limit_and_running(db.dialect()), of_key(tenant, key)).await?)
}

/// The limit is the definition's as it is now, as that of an agent is.
fn limit_and_running(dialect: Dialect) -> String {
    format!(
        "SELECT (SELECT {limit} FROM task_definition WHERE tenant_id = $1 AND id = $3) AS most, \
         (SELECT COUNT(*) FROM task_run WHERE {LIVE} AND status = 'RUNNING') AS running",
        limit = dialect.json_int("config", &["concurrency", "limit"]),
    )
}

fn of_key(tenant: Uuid, key: &str) -> Vec<Value> {
    let definition: Option<Uuid> = key.get(..36).and_then(|id| id.parse().ok());
    vec![tenant.into(), key.into(), definition.into()]
}

fn read_limit(rows: &[QueryResult]) -> Result<Option<(i64, i64)>, DbErr> {
    let Some(row) = rows.first() else { return Ok(None) };
    let most: Option<i64> = row.try_get("", "most")?;
    Ok(most.zip(Some(row.try_get("", "running")?)))
}

/// The first of a queue from which nothing starts says why it waits.
pub async fn show_blocked(
    tx: &SystemTx,
    queue: Queue<'_>,
    why: RunReason,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let Queue { tenant, lane, key, .. } = queue;
    let reason = |reason: RunReason| sea_orm::ActiveEnum::to_value(&reason);
    let (from, to) = (reason(RunReason::Queued), reason(why));
    let mut values = vec![tenant.into(), lane.into(), key.into(), now.into(), to.into(), from.into()];
    let taken = queue.taken(&mut values).indexed;
    // Who holds the row may wait for one that this claim has taken.
    let sql = format!(
        "UPDATE task_run SET reason = $5 WHERE tenant_id = $1 AND reason = $6 AND {} \
         AND id = (SELECT id FROM task_run WHERE status = 'PENDING' AND {taken} AND tenant_id = $1 AND lane_id = $2 \
          AND concurrency_key = $3 AND available_at <= $4 ORDER BY order_key, id LIMIT 1{})",
        is("PENDING"),
        tx.dialect().skip_locked(),
    );
    tx.execute(&sql, values).await.map(drop)
}

/// Dedupe keys past their time answer for nothing.
pub async fn forget_dedupe_keys(tx: &SystemTx, now: DateTime<Utc>) -> Result<u64, DbErr> {
    // Said again outside: a key that a new run takes at this moment is not past its time any more.
    let sql = "DELETE FROM run_dedupe WHERE expires_at <= $1 AND (tenant_id, key) IN \
         (SELECT tenant_id, key FROM run_dedupe WHERE expires_at <= $1 LIMIT 1000)";
    Ok(tx.execute(sql, vec![now.into()]).await?.rows_affected())
}
