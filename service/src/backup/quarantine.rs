//! What a restored copy may not do: the world went on after the backup was taken, and other servers, workers
//! or mails may have done since what the copy believes is still to be done. So it claims no run, applies no
//! time-out, delivers no mail and removes nothing until an operator has confirmed it.
//!
//! Invariant: nothing of the former life can write. Each quarantine raises the upper half of every run's
//! fence, so that no fence of before matches, leases are over, and sessions have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use entity::governance::quarantine::Model;
use sea_orm::FromQueryResult as _;
use serde_json::json;
use uuid::Uuid;

use crate::clock::Clock;
use crate::db::{Db, Reason, SystemDb};
use crate::engine::transitions;
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, Scribe};
use crate::ids::Ids;

const LATEST: &str = "SELECT * FROM quarantine ORDER BY generation DESC LIMIT 1";

/// Whether this node works on a copy that nobody has confirmed yet.
#[derive(Clone, Default)]
pub struct Quarantine(Arc<AtomicBool>);

impl Quarantine {
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks the database; at the start of a node, and then now and again.
    pub async fn look(&self, db: &Db) -> Result<()> {
        let rows = db.system(Reason::Operations).query(LATEST, Vec::new()).await?;
        let latest = rows.first().map(|row| Model::from_query_result(row, "")).transpose()?;
        let is_on = latest.is_some_and(|latest| latest.confirmed_at.is_none());
        let was_on = self.0.swap(is_on, Ordering::Relaxed);
        match (was_on, is_on) {
            (false, true) => tracing::warn!(
                "QUARANTINE: this is a restored copy. It claims no runs, fires nothing and sends no mails until \
                 `mission-control restore --confirm`."
            ),
            (true, false) => tracing::warn!("the restored copy is confirmed: work begins"),
            _ => {}
        }
        Ok(())
    }
}

/// Seals a database off from its former life. Called again, it goes on where it was broken off.
pub async fn begin(db: &Db, clock: &Clock, ids: &Ids) -> Result<()> {
    let now = clock.now();
    let tx = db.system(Reason::Operations).begin().await?;
    tx.lock("quarantine").await?;
    let latest = tx.query(LATEST, Vec::new()).await?;
    let latest = latest.first().map(|row| Model::from_query_result(row, "")).transpose()?;
    let open = latest.as_ref().filter(|latest| latest.confirmed_at.is_none());
    let (id, generation) = match (open, &latest) {
        (Some(open), _) => (open.id, open.generation),
        (None, latest) => {
            let generation = latest.as_ref().map_or(1, |latest| latest.generation + 1);
            let id = ids.next();
            let sql = "INSERT INTO quarantine (id, generation, began_at) VALUES ($1, $2, $3)";
            tx.execute(sql, vec![id.into(), generation.into(), now.into()]).await?;
            (id, generation)
        }
    };
    let sql = "UPDATE session SET revoked_at = $1 WHERE revoked_at IS NULL";
    tx.execute(sql, vec![now.into()]).await?;
    tx.execute("DELETE FROM engine_node", Vec::new()).await?;
    tx.commit().await?;
    let system = db.system(Reason::Operations);
    raise_fences(&system, generation, now).await?;
    if db.dialect().event_positions_are_local() {
        forget_positions(&system).await?;
    }
    let tx = system.begin().await?;
    tx.execute("UPDATE quarantine SET sealed_off_at = $2 WHERE id = $1", vec![id.into(), now.into()]).await?;
    tx.commit().await
}

async fn raise_fences(system: &SystemDb, generation: i64, now: DateTime<Utc>) -> Result<()> {
    let mut last = (Uuid::nil(), Uuid::nil());
    loop {
        let tx = system.begin().await?;
        let next = transitions::raise_fences(&tx, last, generation << 32, now).await?;
        tx.commit().await?;
        let Some(next) = next else { return Ok(()) };
        last = next;
    }
}

/// Where the places of events count what the database's server did, those of the former one mean nothing: they
/// could stand behind all that comes here.
async fn forget_positions(system: &SystemDb) -> Result<()> {
    for row in system.query("SELECT id FROM tenant ORDER BY id", Vec::new()).await? {
        let tenant: Uuid = row.try_get("", "id")?;
        let tx = system.begin().await?;
        let sql = "UPDATE run_event SET position = 0 WHERE tenant_id = $1 AND position > 0";
        tx.execute(sql, vec![tenant.into()]).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Lets the copy work; every node follows within a sweep. `false` where there is nothing to confirm. Each
/// tenant's audit log tells that its data is that of a backup.
///
/// # Errors
/// [`Error::Conflict`] `not_sealed_off` where the quarantine was broken off while it began.
pub async fn confirm(db: &Db, clock: &Clock, ids: &Ids) -> Result<bool> {
    let now = clock.now();
    let tx = db.system(Reason::Operations).begin().await?;
    tx.lock("quarantine").await?;
    let latest = tx.query(LATEST, Vec::new()).await?;
    let latest = latest.first().map(|row| Model::from_query_result(row, "")).transpose()?;
    let Some(open) = latest.filter(|latest| latest.confirmed_at.is_none()) else { return Ok(false) };
    if open.sealed_off_at.is_none() {
        let message =
            "The quarantine was broken off while it began: run `mission-control restore --quarantine`.";
        return Err(Error::conflict("not_sealed_off", message));
    }
    let sql = "UPDATE quarantine SET confirmed_at = $2 WHERE id = $1";
    tx.execute(sql, vec![open.id.into(), now.into()]).await?;
    let scribe = Scribe { dialect: db.dialect(), clock, ids };
    for row in tx.query("SELECT id FROM tenant ORDER BY id", Vec::new()).await? {
        let tenant: Uuid = row.try_get("", "id")?;
        let change = Change::to("tenant", tenant).with(json!({ "quarantinedAt": open.began_at }));
        let entry = Entry::of_platform("operator", "confirm_restore", tenant, change);
        let _recorded = scribe.append(tx.connection(), entry).await?;
    }
    tx.commit().await?;
    Ok(true)
}
