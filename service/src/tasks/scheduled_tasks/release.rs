//! Fires that waited: for the end of another run, for their time, or for their turn in a backfill.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::tasks::schedule_fire;
use entity::tasks::scheduled_task::{Model, Overlap};
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::{FromQueryResult as _, QueryResult};
use uuid::Uuid;

use super::fire::{self, key, not_created};
use super::overlap::{self, Key};
use super::records;
use crate::core::Core;
use crate::ctx::{Actor, Automation};
use crate::db::{Column, Kind, Reason, SystemTx};
use crate::engine::transitions::{self, CancelOutcome};
use crate::error::Result;
use crate::tasks::launch::Launch;

pub(super) const PAGE: usize = 128;

/// The oldest of each schedule that nothing holds back; all of one whose runs may be side by side.
const READY: &str = "SELECT f.* FROM schedule_fire f \
     JOIN scheduled_task s ON s.tenant_id = f.tenant_id AND s.id = f.schedule_id \
     WHERE f.status = 'PENDING' AND f.fire_at <= $1 AND s.status <> 'PAUSED' AND s.deleted_at IS NULL \
     AND (s.overlap = 'ALLOW' OR NOT EXISTS (SELECT 1 FROM schedule_fire o WHERE o.tenant_id = f.tenant_id \
     AND o.schedule_id = f.schedule_id AND o.settled_at IS NULL AND o.id <> f.id AND (o.status = 'STARTED' \
     OR (o.status = 'PENDING' AND o.fire_at <= $1 AND o.due_at < f.due_at)))) \
     ORDER BY f.fire_at LIMIT $2";

/// Runs that are in the way of a fire that cancels them, and were not told yet.
const IN_THE_WAY: &str = "SELECT DISTINCT r.tenant_id, r.id, s.id AS schedule_id FROM schedule_fire f \
     JOIN scheduled_task s ON s.tenant_id = f.tenant_id AND s.id = f.schedule_id \
     JOIN schedule_fire o ON o.tenant_id = f.tenant_id AND o.schedule_id = f.schedule_id \
     AND o.settled_at IS NULL AND o.status = 'STARTED' \
     JOIN task_run r ON r.tenant_id = o.tenant_id AND r.id = o.run_id \
     WHERE f.status = 'PENDING' AND f.fire_at <= $1 AND s.overlap = 'CANCEL_RUNNING' AND s.status <> 'PAUSED' \
     AND r.status IN ('PENDING', 'RUNNING', 'WAITING') AND r.reason <> 'CANCEL_REQUESTED' LIMIT $2";

type FireKey = (Uuid, Uuid);

const FIRES: [Column<FireKey>; 2] = [
    Column::new("tenant_id", Kind::Uuid, |fire| fire.0.into()),
    Column::new("id", Kind::Uuid, |fire| fire.1.into()),
];

/// Cancels what is in the way; how many runs were told.
pub async fn clear(core: &Core, now: DateTime<Utc>) -> Result<usize> {
    let system = core.db.system(Reason::Engine);
    let rows = system.query(IN_THE_WAY, vec![now.into(), page_size().into()]).await?;
    for row in &rows {
        let (tenant, run) = (row.try_get("", "tenant_id")?, row.try_get("", "id")?);
        cancel(core, tenant, run, row.try_get("", "schedule_id")?, now).await?;
    }
    Ok(rows.len())
}

async fn cancel(core: &Core, tenant: Uuid, run: Uuid, schedule: Uuid, now: DateTime<Utc>) -> Result<()> {
    let by = Actor::Automation { kind: Automation::Schedule, id: schedule }.to_string();
    let tx = core.db.system(Reason::Engine).begin().await?;
    let outcome = transitions::cancel(&tx, tenant, run, RunReason::ByPolicy, &by, now).await?;
    transitions::close_questions(&tx, tenant, run, now).await?;
    tx.commit().await?;
    match outcome {
        CancelOutcome::Cancelled(_) => core.engine.announce(run, RunStatus::Cancelled),
        CancelOutcome::Requested(_) => {
            core.engine.cancel_here(run);
            core.engine.announce(run, RunStatus::Running);
        }
        CancelOutcome::NotLive => {}
    }
    Ok(())
}

fn page_size() -> i64 {
    i64::try_from(PAGE).unwrap_or(0)
}

/// Starts a page of those whose turn has come; how many were looked at.
pub async fn page(core: &Core, now: DateTime<Utc>) -> Result<usize> {
    let system = core.db.system(Reason::Engine);
    let read = |row: &QueryResult| schedule_fire::Model::from_query_result(row, "");
    let found = system.query(READY, vec![now.into(), page_size().into()]).await?;
    let mut fires = found.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if fires.is_empty() {
        return Ok(0);
    }
    let looked = fires.len();
    let keys: HashSet<Key> = fires.iter().map(|fire| (fire.tenant_id, fire.schedule_id)).collect();
    let keys: Vec<Key> = keys.into_iter().collect();
    let sql = format!(
        "SELECT s.* FROM {} JOIN scheduled_task s ON s.tenant_id = v.tenant_id AND s.id = v.id",
        system.dialect().rows(1, &overlap::KEYS)
    );
    let rows = system.query(&sql, system.dialect().bind(&overlap::KEYS, &keys)).await?;
    let mut schedules = HashMap::with_capacity(rows.len());
    for row in rows {
        let row = Model::from_query_result(&row, "")?;
        schedules.insert(key(&row), row);
    }
    let mut launch = Launch::default();
    for fire in &mut fires {
        let Some(row) = schedules.get(&(fire.tenant_id, fire.schedule_id)) else { continue };
        fire.updated_at = now;
        fire::start(core, &mut launch, row, fire).await?;
    }
    commit(core, launch, fires, &keys, now).await?;
    Ok(looked)
}

async fn commit(
    core: &Core,
    mut launch: Launch,
    fires: Vec<schedule_fire::Model>,
    keys: &[Key],
    now: DateTime<Utc>,
) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let mut locked = HashMap::with_capacity(keys.len());
    for row in overlap::lock(&tx, keys).await? {
        let row = Model::from_query_result(&row, "")?;
        locked.insert(key(&row), row.overlap);
    }
    let still = ready(&tx, &fires, now).await?;
    let mut fires: Vec<_> = fires
        .into_iter()
        .filter(|fire| still.contains(&(fire.tenant_id, fire.id)))
        .filter(|fire| locked.contains_key(&(fire.tenant_id, fire.schedule_id)))
        .collect();
    // Of one schedule one at a time, where they may not be side by side.
    let mut begun = HashSet::new();
    fires.retain(|fire| {
        let key = (fire.tenant_id, fire.schedule_id);
        locked.get(&key) == Some(&Overlap::Allow) || fire.run_id.is_none() || begun.insert(key)
    });
    let wanted: HashSet<Uuid> = fires.iter().filter_map(|fire| fire.run_id).collect();
    launch.retain(|run| wanted.contains(&run));
    let launched = launch.create(&tx).await?;
    not_created(&mut fires, &launched);
    records::decide(&tx, &fires).await?;
    tx.commit().await?;
    launch.committed(core, launched);
    Ok(())
}

/// Those of the fires that are still ready, under the locks of their schedules.
async fn ready(
    tx: &SystemTx,
    fires: &[schedule_fire::Model],
    now: DateTime<Utc>,
) -> Result<HashSet<FireKey>> {
    let keys: Vec<FireKey> = fires.iter().map(|fire| (fire.tenant_id, fire.id)).collect();
    let sql = format!(
        "SELECT f.tenant_id, f.id FROM {} JOIN schedule_fire f ON f.tenant_id = v.tenant_id AND f.id = v.id \
         JOIN scheduled_task s ON s.tenant_id = f.tenant_id AND s.id = f.schedule_id \
         WHERE f.status = 'PENDING' AND s.status <> 'PAUSED' AND s.deleted_at IS NULL AND f.fire_at <= $1 \
         AND (s.overlap = 'ALLOW' OR NOT EXISTS (SELECT 1 FROM schedule_fire o WHERE o.tenant_id = f.tenant_id \
         AND o.schedule_id = f.schedule_id AND o.settled_at IS NULL AND o.status = 'STARTED'))",
        tx.dialect().rows(2, &FIRES),
    );
    let values = [vec![now.into()], tx.dialect().bind(&FIRES, &keys)].concat();
    let rows = tx.query(&sql, values).await?;
    let read = |row: &QueryResult| Ok((row.try_get("", "tenant_id")?, row.try_get("", "id")?));
    rows.iter().map(read).collect()
}
