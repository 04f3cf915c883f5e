//! Noting how the runs of fires ended: what waits behind them may go on, and a schedule whose runs fail in a
//! row pauses itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::tasks::scheduled_task::{Entity, Model, PauseReason, ScheduleStatus};
use entity::tasks::task_run::RunStatus;
use sea_orm::{ActiveEnum as _, FromQueryResult as _};
use serde_json::json;
use uuid::Uuid;

use super::fire::key;
use super::overlap::{self, Key};
use crate::core::Core;
use crate::db::{Column, Kind, Reason, SystemTx};
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, append};

pub(super) const PAGE: usize = 256;

/// A run that retention removed has ended long ago.
const ENDED: &str = "SELECT f.tenant_id, f.id, f.schedule_id, f.due_at, r.status AS run_status FROM schedule_fire f \
     LEFT JOIN task_run r ON r.tenant_id = f.tenant_id AND r.id = f.run_id \
     WHERE f.settled_at IS NULL AND f.status = 'STARTED' \
     AND (r.id IS NULL OR r.status IN ('COMPLETED', 'FAILED', 'CANCELLED')) LIMIT $1";

/// A fire whose run ended.
struct Ended {
    fire: (Uuid, Uuid),
    schedule: Key,
    due_at: DateTime<Utc>,
    status: Option<RunStatus>,
}

const SETTLED: [Column<Ended>; 3] = [
    Column::new("of_tenant", Kind::Uuid, |ended| ended.fire.0.into()),
    Column::new("of_fire", Kind::Uuid, |ended| ended.fire.1.into()),
    Column::optional("ended_as", Kind::Text, |ended| ended.status.map(|status| status.to_value()).into()),
];

type Counted = (Key, i64);

const COUNTED: [Column<Counted>; 3] = [
    Column::new("tenant_id", Kind::Uuid, |counted| counted.0.0.into()),
    Column::new("id", Kind::Uuid, |counted| counted.0.1.into()),
    Column::new("retry_count", Kind::Int, |counted| counted.1.into()),
];

/// Settles a page; how many fires were looked at.
pub async fn page(core: &Core, now: DateTime<Utc>) -> Result<usize> {
    let system = core.db.system(Reason::Engine);
    let limit = i64::try_from(PAGE).unwrap_or(0);
    let mut ended = Vec::new();
    for row in system.query(ENDED, vec![limit.into()]).await? {
        let tenant: Uuid = row.try_get("", "tenant_id")?;
        ended.push(Ended {
            fire: (tenant, row.try_get("", "id")?),
            schedule: (tenant, row.try_get("", "schedule_id")?),
            due_at: row.try_get("", "due_at")?,
            status: row.try_get("", "run_status")?,
        });
    }
    if ended.is_empty() {
        return Ok(0);
    }
    let looked = ended.len();
    let keys: HashSet<Key> = ended.iter().map(|ended| ended.schedule).collect();
    let keys: Vec<Key> = keys.into_iter().collect();
    let tx = core.db.system(Reason::Engine).begin().await?;
    let mut locked = BTreeMap::new();
    for row in overlap::lock(&tx, &keys).await? {
        let row = Model::from_query_result(&row, "")?;
        locked.insert(key(&row), row);
    }
    let gone = gone(&tx, &keys, &locked).await?;
    ended.retain(|ended| locked.contains_key(&ended.schedule) || gone.contains(&ended.schedule));
    let settled = note(&tx, &ended, now).await?;
    ended.retain(|ended| settled.contains(&ended.fire));
    let counts = count(&mut locked, ended);
    let mut paused = Vec::new();
    for (key, row) in &locked {
        let over =
            row.max_retries.is_some_and(|most| counts.get(key).is_some_and(|count| *count > i64::from(most)));
        if over && row.status == ScheduleStatus::Active {
            paused.push(row);
        }
    }
    write(&tx, &counts.into_iter().collect::<Vec<_>>()).await?;
    for row in paused {
        pause(core, &tx, row, now).await?;
    }
    tx.commit().await?;
    Ok(looked)
}

/// Deleted schedules, which nobody locks: their fires are settled and count for nothing.
async fn gone(tx: &SystemTx, keys: &[Key], locked: &BTreeMap<Key, Model>) -> Result<HashSet<Key>> {
    let rest: Vec<Key> = keys.iter().filter(|key| !locked.contains_key(key)).copied().collect();
    if rest.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "SELECT s.tenant_id, s.id FROM {} JOIN scheduled_task s ON s.tenant_id = v.tenant_id AND s.id = v.id \
         WHERE s.deleted_at IS NOT NULL",
        tx.dialect().rows(1, &overlap::KEYS)
    );
    let rows = tx.query(&sql, tx.dialect().bind(&overlap::KEYS, &rest)).await?;
    Ok(rows
        .iter()
        .map(|row| Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?)))
        .collect::<Result<_, sea_orm::DbErr>>()?)
}

/// The fires that nobody had settled.
async fn note(tx: &SystemTx, ended: &[Ended], now: DateTime<Utc>) -> Result<HashSet<(Uuid, Uuid)>> {
    if ended.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "UPDATE schedule_fire AS f SET settled_at = $1, run_status = ended_as, updated_at = $1 FROM {} \
         WHERE f.tenant_id = of_tenant AND f.id = of_fire AND f.settled_at IS NULL RETURNING tenant_id, id",
        tx.dialect().rows(2, &SETTLED),
    );
    let values = [vec![now.into()], tx.dialect().bind(&SETTLED, ended)].concat();
    let rows = tx.query(&sql, values).await?;
    Ok(rows
        .iter()
        .map(|row| Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?)))
        .collect::<Result<_, sea_orm::DbErr>>()?)
}

/// How many runs failed in a row, in the order of their times. What was cancelled says nothing.
fn count(locked: &mut BTreeMap<Key, Model>, mut ended: Vec<Ended>) -> HashMap<Key, i64> {
    ended.sort_by_key(|ended| ended.due_at);
    let mut counts = HashMap::new();
    for Ended { schedule, status, .. } in ended {
        let Some(row) = locked.get(&schedule) else { continue };
        let count = counts.entry(schedule).or_insert(i64::from(row.retry_count));
        match status {
            Some(RunStatus::Completed) => *count = 0,
            Some(RunStatus::Failed) => *count += 1,
            _ => {}
        }
    }
    counts
}

async fn write(tx: &SystemTx, counts: &[Counted]) -> Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE scheduled_task AS s SET retry_count = v.retry_count FROM {} \
         WHERE s.tenant_id = v.tenant_id AND s.id = v.id AND s.retry_count <> v.retry_count",
        tx.dialect().rows(1, &COUNTED)
    );
    tx.execute(&sql, tx.dialect().bind(&COUNTED, counts)).await?;
    Ok(())
}

async fn pause(core: &Core, tx: &SystemTx, row: &Model, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE scheduled_task SET status = 'PAUSED', status_reason = $3, status_note = NULL, next_due_at = NULL, \
         next_fire_at = NULL, revision = revision + 1, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    let reason = PauseReason::Failures.to_value();
    tx.execute(sql, vec![row.tenant_id.into(), row.id.into(), reason.clone().into(), now.into()]).await?;
    let told = json!({ "name": row.name, "status": "PAUSED", "statusReason": reason });
    let change = Change::of::<Entity>(row.id).with(told);
    let entry = Entry::of_platform("system", "pause_scheduled_task", row.tenant_id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    tracing::warn!(schedule.id = %row.id, "a schedule paused itself: its runs failed in a row");
    Ok(())
}
