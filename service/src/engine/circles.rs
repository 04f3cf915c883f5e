//! The circles that claims go round: tenants with pending runs, a tenant's lanes, a lane's concurrency keys. Each
//! is read by index seeks, one a member, so that a million runs of one member cost no more than one. Nodes and
//! workers have circles of their own: neither sees what the other takes.

use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::transitions::taken_by;
use super::turns::Turns;
use crate::db::SystemTx;

/// How many members of a circle one claim looks at; the next claim goes on behind them.
pub const MOST_TENANTS: u64 = 32;
pub const MOST_LANES: u64 = 16;
pub const MOST_KEYS: u64 = 32;

/// The runs of one agent, or of one tool, that nodes take, or that need one thing of a worker.
#[derive(Clone, Debug)]
pub struct Lane {
    pub id: Uuid,
    /// Some of its pending runs have concurrency keys.
    pub is_keyed: bool,
    /// What a worker must offer; nodes take what needs no worker.
    pub capability: Option<String>,
}

/// Distinct tenants with pending runs behind `$1`.
const TENANTS: &str = "WITH RECURSIVE t(id) AS (\
     SELECT (SELECT tenant_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND held_at IS NULL AND tenant_id > $1 ORDER BY tenant_id LIMIT 1) \
     UNION ALL SELECT (SELECT tenant_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND held_at IS NULL AND tenant_id > t.id \
     ORDER BY tenant_id LIMIT 1) FROM t WHERE t.id IS NOT NULL) \
     SELECT id FROM t WHERE id IS NOT NULL LIMIT $2";

/// Distinct lanes of tenant `$3` with pending runs behind `$1`, and whether they have keys.
const LANES: &str = "WITH RECURSIVE t(id) AS (\
     SELECT (SELECT lane_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND held_at IS NULL AND tenant_id = $3 AND lane_id > $1 \
     ORDER BY lane_id LIMIT 1) \
     UNION ALL SELECT (SELECT lane_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND held_at IS NULL AND tenant_id = $3 AND lane_id > t.id \
     ORDER BY lane_id LIMIT 1) FROM t WHERE t.id IS NOT NULL) \
     SELECT id, (SELECT COUNT(*) FROM (SELECT 1 AS one FROM task_run r WHERE r.status = 'PENDING' \
      AND r.capability IS NULL AND r.held_at IS NULL AND r.tenant_id = $3 AND r.lane_id = t.id AND r.concurrency_key > '' LIMIT 1) q) AS keyed \
     FROM t WHERE id IS NOT NULL LIMIT $2";

/// Distinct keys of lane `$4` of tenant `$3` with pending runs of `taken`, the first of them `{first} $1`.
fn keys(first: &str, taken: &str) -> String {
    let pending = format!("status = 'PENDING' AND {taken} AND tenant_id = $3 AND lane_id = $4");
    format!(
        "WITH RECURSIVE t(id) AS (\
         SELECT (SELECT concurrency_key FROM task_run WHERE {pending} \
         AND concurrency_key {first} $1 ORDER BY concurrency_key LIMIT 1) \
         UNION ALL SELECT (SELECT concurrency_key FROM task_run WHERE {pending} \
         AND concurrency_key > t.id ORDER BY concurrency_key LIMIT 1) FROM t WHERE t.id IS NOT NULL) \
         SELECT id FROM t WHERE id IS NOT NULL LIMIT $2"
    )
}

/// The tenants whose turn it is, in its order.
pub async fn tenants(tx: &SystemTx, turns: &Turns) -> Result<Vec<Uuid>, DbErr> {
    let behind = async |place: Uuid, most| -> Result<Vec<Uuid>, DbErr> {
        let rows = tx.query(TENANTS, vec![place.into(), most]).await?;
        rows.iter().map(|row| row.try_get("", "id")).collect()
    };
    let place = turns.tenant_place();
    let mut found = behind(place, limit(MOST_TENANTS)).await?;
    let missing = missing(MOST_TENANTS, found.len());
    if missing > 0 && !place.is_nil() {
        let first = behind(Uuid::nil(), limit(missing)).await?;
        found.extend(first.into_iter().take_while(|id| *id <= place));
    }
    Ok(found)
}

/// The lanes of a tenant whose turn it is, in its order.
pub async fn lanes(tx: &SystemTx, turns: &Turns, tenant: Uuid) -> Result<Vec<Lane>, DbErr> {
    let behind = async |place: Uuid, most| -> Result<Vec<Lane>, DbErr> {
        let rows = tx.query(LANES, vec![place.into(), most, tenant.into()]).await?;
        let lane = |row: &sea_orm::QueryResult| {
            let (id, keyed): (_, i64) = (row.try_get("", "id")?, row.try_get("", "keyed")?);
            Ok(Lane { id, is_keyed: keyed > 0, capability: None })
        };
        rows.iter().map(lane).collect()
    };
    let place = turns.lane_place(tenant);
    let mut found = behind(place, limit(MOST_LANES)).await?;
    let missing = missing(MOST_LANES, found.len());
    if missing > 0 && !place.is_nil() {
        let first = behind(Uuid::nil(), limit(missing)).await?;
        found.extend(first.into_iter().take_while(|lane| lane.id <= place));
    }
    Ok(found)
}

/// The keys of a lane whose turn it is, in its order; the empty one stands for the runs without.
pub async fn keys_of(tx: &SystemTx, turns: &Turns, tenant: Uuid, lane: &Lane) -> Result<Vec<String>, DbErr> {
    let behind = async |first, place: &str, most| -> Result<Vec<String>, DbErr> {
        let mut values = vec![place.into(), most, tenant.into(), lane.id.into()];
        let taken = taken_by(lane.capability.as_deref(), &mut values);
        let rows = tx.query(&keys(first, &taken), values).await?;
        rows.iter().map(|row| row.try_get("", "id")).collect()
    };
    let Some(place) = turns.key_place(tenant, lane.id) else {
        return behind(">=", "", limit(MOST_KEYS)).await;
    };
    let mut found = behind(">", &place, limit(MOST_KEYS)).await?;
    let missing = missing(MOST_KEYS, found.len());
    if missing > 0 {
        // How the database orders texts is its own affair: the circle is closed where it meets itself.
        let first = behind(">=", "", limit(missing)).await?;
        let met = first.iter().position(|key| found.contains(key)).unwrap_or(first.len());
        found.extend(first.into_iter().take(met));
    }
    Ok(found)
}

fn limit(most: u64) -> Value {
    i64::try_from(most).unwrap_or(i64::MAX).into()
}

fn missing(most: u64, found: usize) -> u64 {
    most.saturating_sub(u64::try_from(found).unwrap_or(most))
}
