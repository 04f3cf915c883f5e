//! How many runs of a lane a claim may start.

use chrono::{DateTime, Utc};
use entity::agents::agent::AgentStatus;
use sea_orm::{DbErr, QueryResult};
use uuid::Uuid;

use super::rates::{RateLimit, Tokens};
use crate::db::SystemTx;

pub enum Room {
    /// Its agent is paused, or another claim looks at it now.
    None,
    All,
    /// No more than its agent's `maxConcurrent` allows over all nodes, which the lock on its row makes exact.
    Slots(u64),
    /// No more than its tool's rate allows, which the lock on its bucket makes exact.
    Tokens(Tokens),
}

/// An agent or a bucket that another node looks at now is passed over: waiting for it could lock two nodes
/// against each other.
pub async fn room(tx: &SystemTx, tenant: Uuid, lane: Uuid, now: DateTime<Utc>) -> Result<Room, DbErr> {
    let sql = "SELECT status, max_concurrent, NULL AS rate_limit FROM agent WHERE tenant_id = $1 AND id = $2 \
         UNION ALL SELECT NULL, NULL, rate_limit FROM tool \
         WHERE tenant_id = $1 AND id = $2 AND rate_limit IS NOT NULL";
    let Some(row) = tx.query(sql, vec![tenant.into(), lane.into()]).await?.into_iter().next() else {
        return Ok(Room::All);
    };
    match row.try_get::<Option<AgentStatus>>("", "status")? {
        None => tokens(tx, tenant, lane, &row, now).await,
        Some(AgentStatus::Active) if row.try_get::<Option<i32>>("", "max_concurrent")?.is_none() => {
            Ok(Room::All)
        }
        Some(AgentStatus::Active) => slots(tx, tenant, lane).await,
        Some(AgentStatus::Paused | AgentStatus::Quarantined) => Ok(Room::None),
    }
}

async fn tokens(
    tx: &SystemTx,
    tenant: Uuid,
    tool: Uuid,
    row: &QueryResult,
    now: DateTime<Utc>,
) -> Result<Room, DbErr> {
    let limit: Option<serde_json::Value> = row.try_get("", "rate_limit")?;
    let Some(limit) = RateLimit::stored(limit.as_ref()) else { return Ok(Room::All) };
    Ok(Tokens::lock(tx, tenant, tool, limit, now).await?.map_or(Room::None, Room::Tokens))
}

async fn slots(tx: &SystemTx, tenant: Uuid, agent: Uuid) -> Result<Room, DbErr> {
    let sql = format!(
        "SELECT status, max_concurrent FROM agent WHERE tenant_id = $1 AND id = $2{}",
        tx.dialect().skip_locked()
    );
    let Some(row) = tx.query(&sql, vec![tenant.into(), agent.into()]).await?.into_iter().next() else {
        return Ok(Room::Slots(0));
    };
    let limit = row.try_get::<Option<i32>>("", "max_concurrent")?.map_or(i64::MAX, i64::from);
    let sql = "SELECT COUNT(*) AS running FROM task_run WHERE status = 'RUNNING' AND tenant_id = $1 AND lane_id = $2";
    let rows = tx.query(sql, vec![tenant.into(), agent.into()]).await?;
    let running: i64 = rows.first().map(|row| row.try_get("", "running")).transpose()?.unwrap_or(0);
    Ok(Room::Slots(u64::try_from(limit - running).unwrap_or(0)))
}
