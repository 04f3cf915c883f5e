//! Fair claims. Tenants take turns by weight, inside a tenant its lanes (one an agent or tool) take
//! turns, inside a lane the order is age moved by priority. A tenant with a million queued runs does
//! not delay another's first. A worker claims by the same rules, within its tenant and what it offers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::agents::agent::AgentStatus;
use entity::identity::tenant::TenantStatus;
use entity::tasks::task_run;
use sea_orm::DbErr;
use uuid::Uuid;

use super::transitions::{self, Lane, Workspaces};
use crate::db::{Column, Db, Kind, Reason, SystemTx};
use crate::error::Result;
use crate::identity::plans::Plans;

/// How many tenants, and lanes of one tenant, one claim looks at; the next claim goes on behind them.
const MOST_TENANTS: u64 = 32;
const MOST_LANES: u64 = 16;
/// Lanes of what one worker offers.
const MOST_OFFERED: usize = 1_000;
/// That a worker asked for runs is written when it was not for so long.
const ASKED: TimeDelta = TimeDelta::seconds(5);
/// Tenants whose place among their lanes is remembered.
const MOST_PLACES: usize = 10_000;

/// Where the turns stand: whose turn is next.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    tenant: Uuid,
    lanes: HashMap<Uuid, Uuid>,
}

pub struct Claim<'a> {
    pub db: &'a Db,
    pub plans: &'a Plans,
    pub turns: &'a Turns,
    pub taker: &'a Taker,
    /// The node or worker that will hold the leases.
    pub owner: Uuid,
    pub now: DateTime<Utc>,
    pub lease: Duration,
}

/// Who claims.
pub enum Taker {
    /// A node of the engine takes every tenant's runs that need no worker.
    Node,
    /// A worker takes its tenant's runs that need what it offers, where its credential sees them.
    Worker { tenant: Uuid, workspaces: Workspaces },
}

/// One tenant's share of a claim.
struct Share {
    tenant: Uuid,
    weight: u64,
    lanes: Vec<Lane>,
}

/// What a claim took, and whether another look at once may take more.
pub struct Claimed {
    pub runs: Vec<task_run::Model>,
    /// There were more tenants or lanes than one claim looks at.
    pub more: bool,
    /// Due runs wait for others of their agent to end.
    pub limited: bool,
}

impl Claim<'_> {
    /// Up to `most` due runs, each with a new fence and lease.
    pub async fn take(&self, most: u64) -> Result<Claimed> {
        let tx = self.db.system(Reason::Engine).begin().await?;
        let (mut left, (mut shares, more)) = match self.taker {
            Taker::Node => (most, self.shares(&tx).await?),
            Taker::Worker { tenant, workspaces } => self.worker_share(&tx, *tenant, workspaces, most).await?,
        };
        let last = shares.last().map(|share| share.tenant);
        let mut claimed = Claimed { runs: Vec::new(), more, limited: false };
        // Each round gives every tenant its share of what is left; a tenant that cannot use its share
        // leaves it to the others, and its exhausted lanes leave the turn.
        while left > 0 && !shares.is_empty() {
            let weights: u64 = shares.iter().map(|share| share.weight).sum();
            let round = left;
            for share in &mut shares {
                if left == 0 {
                    break;
                }
                self.turns.tenant(share.tenant);
                let due = (round * share.weight).div_ceil(weights.max(1)).min(left);
                let taken = self.take_share(&tx, share, due, &mut claimed.limited).await?;
                left -= u64::try_from(taken.len()).unwrap_or(left).min(left);
                claimed.runs.extend(taken);
            }
            shares.retain(|share| !share.lanes.is_empty());
        }
        if let Some(last) = last.filter(|_| left > 0) {
            self.turns.tenant(last);
        }
        tx.commit().await?;
        Ok(claimed)
    }

    async fn take_share(
        &self,
        tx: &SystemTx,
        share: &mut Share,
        due: u64,
        limited: &mut bool,
    ) -> Result<Vec<task_run::Model>, DbErr> {
        let mut taken = Vec::new();
        let mut left = due;
        let mut lanes = std::mem::take(&mut share.lanes).into_iter();
        while left > 0 {
            let Some(lane) = lanes.next() else { break };
            let waiting = u64::try_from(lanes.len()).unwrap_or(0);
            let quantum = left.div_ceil(waiting + 1);
            let free = match slots(tx, share.tenant, lane.id).await? {
                Slots::None => 0,
                Slots::All => quantum,
                Slots::Some(free) => {
                    *limited |= free < quantum;
                    free.min(quantum)
                }
            };
            let runs = match free {
                0 => Vec::new(),
                free => transitions::claim_lane(tx, &lane, free, self.owner, self.now, self.lease).await?,
            };
            let count = u64::try_from(runs.len()).unwrap_or(0);
            left -= count.min(left);
            taken.extend(runs);
            self.turns.lane(share.tenant, lane.id);
            if count == quantum {
                share.lanes.push(lane);
            }
        }
        // Lanes that had no turn keep it for the next round.
        let rest: Vec<Lane> = lanes.chain(share.lanes.drain(..)).collect();
        share.lanes = rest;
        Ok(taken)
    }

    /// The tenants whose turn it is, with their lanes, in the order of the turns; and whether there are more.
    async fn shares(&self, tx: &SystemTx) -> Result<(Vec<Share>, bool), DbErr> {
        let tenants = around(tx, TENANTS, &[], self.turns.tenant_place(), MOST_TENANTS).await?;
        let full = |found: usize, most: u64| u64::try_from(found).unwrap_or(most) >= most;
        let mut more = full(tenants.len(), MOST_TENANTS);
        let mut shares = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let Some(weight) = self.weight(tx, tenant).await? else { continue };
            let place = self.turns.lane_place(tenant);
            let lanes = around(tx, LANES, &[tenant], place, MOST_LANES).await?;
            more |= full(lanes.len(), MOST_LANES);
            let lanes = lanes.into_iter().map(|lane| Lane::of_nodes(tenant, lane)).collect();
            shares.push(Share { tenant, weight, lanes });
        }
        Ok((shares, more))
    }

    /// What a worker may take now: as much as it has slots free, of the lanes of what it offers. The lock on
    /// its row makes its slots exact, whatever calls it makes at once.
    async fn worker_share(
        &self,
        tx: &SystemTx,
        tenant: Uuid,
        workspaces: &Workspaces,
        most: u64,
    ) -> Result<(u64, (Vec<Share>, bool)), DbErr> {
        let nothing = (0, (Vec::new(), false));
        let sql = format!(
            "SELECT slots, capabilities, last_claim_at, paused_at, drained_at FROM worker \
             WHERE tenant_id = $1 AND id = $2{}",
            tx.dialect().for_update()
        );
        let key = vec![tenant.into(), self.owner.into()];
        let Some(worker) = tx.query(&sql, key).await?.into_iter().next() else { return Ok(nothing) };
        let at = |name| worker.try_get::<Option<DateTime<Utc>>>("", name);
        if at("last_claim_at")?.is_none_or(|asked| self.now - asked >= ASKED) {
            let sql =
                "UPDATE worker SET last_claim_at = $3, last_seen_at = $3 WHERE tenant_id = $1 AND id = $2";
            tx.execute(sql, vec![tenant.into(), self.owner.into(), self.now.into()]).await?;
        }
        if at("paused_at")?.is_some() || at("drained_at")?.is_some() {
            return Ok(nothing);
        }
        let Some(weight) = self.weight(tx, tenant).await? else { return Ok(nothing) };
        let sql = "SELECT COUNT(*) AS held FROM task_run \
             WHERE status = 'RUNNING' AND capability IS NOT NULL AND lease_owner = $1";
        let held: i64 = match tx.query(sql, vec![self.owner.into()]).await?.first() {
            Some(row) => row.try_get("", "held")?,
            None => 0,
        };
        let free = i64::from(worker.try_get::<i32>("", "slots")?) - held;
        let left = most.min(u64::try_from(free).unwrap_or(0));
        if left == 0 {
            return Ok(nothing);
        }
        let capabilities: serde_json::Value = worker.try_get("", "capabilities")?;
        let capabilities: Vec<String> = serde_json::from_value(capabilities).unwrap_or_default();
        let mut lanes = offered(tx, tenant, &capabilities, workspaces).await?;
        let place = self.turns.lane_place(tenant);
        lanes.sort_by_key(|lane| (lane.id <= place, lane.id));
        let most = usize::try_from(MOST_LANES).unwrap_or(usize::MAX);
        let more = lanes.len() > most;
        lanes.truncate(most);
        Ok((left, (vec![Share { tenant, weight, lanes }], more)))
    }

    /// The tenant's weight among others; `None` when it may start nothing.
    async fn weight(&self, tx: &SystemTx, tenant: Uuid) -> Result<Option<u64>, DbErr> {
        let rows = tx.query("SELECT status, plan FROM tenant WHERE id = $1", vec![tenant.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        if row.try_get::<TenantStatus>("", "status")? != TenantStatus::Active {
            return Ok(None);
        }
        Ok(Some(u64::from(self.plans.of(row.try_get("", "plan")?).weight)))
    }
}

impl Turns {
    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenant_place(&self) -> Uuid {
        self.places().tenant
    }

    fn tenant(&self, tenant: Uuid) {
        self.places().tenant = tenant;
    }

    fn lane_place(&self, tenant: Uuid) -> Uuid {
        self.places().lanes.get(&tenant).copied().unwrap_or_default()
    }

    fn lane(&self, tenant: Uuid, lane: Uuid) {
        let mut places = self.places();
        if places.lanes.len() >= MOST_PLACES {
            places.lanes.clear();
        }
        places.lanes.insert(tenant, lane);
    }
}

/// Distinct tenants with pending runs behind `$1`, one index seek each.
const TENANTS: &str = "WITH RECURSIVE t(id) AS (\
     SELECT (SELECT tenant_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND tenant_id > $1 ORDER BY tenant_id LIMIT 1) \
     UNION ALL SELECT (SELECT tenant_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND tenant_id > t.id \
     ORDER BY tenant_id LIMIT 1) FROM t WHERE t.id IS NOT NULL) \
     SELECT id FROM t WHERE id IS NOT NULL LIMIT $2";

/// Distinct lanes of tenant `$3` with pending runs behind `$1`.
const LANES: &str = "WITH RECURSIVE t(id) AS (\
     SELECT (SELECT lane_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND tenant_id = $3 AND lane_id > $1 \
     ORDER BY lane_id LIMIT 1) \
     UNION ALL SELECT (SELECT lane_id FROM task_run WHERE status = 'PENDING' AND capability IS NULL AND tenant_id = $3 AND lane_id > t.id \
     ORDER BY lane_id LIMIT 1) FROM t WHERE t.id IS NOT NULL) \
     SELECT id FROM t WHERE id IS NOT NULL LIMIT $2";

/// The lanes in which runs wait for what a worker offers, one index seek each.
async fn offered(
    tx: &SystemTx,
    tenant: Uuid,
    capabilities: &[String],
    workspaces: &Workspaces,
) -> Result<Vec<Lane>, DbErr> {
    const COLUMNS: [Column<String>; 1] = [Column::new("capability", Kind::Text, |name| name.as_str().into())];
    let seek = |capability: &str, behind: &str| {
        format!(
            "(SELECT lane_id FROM task_run WHERE status = 'PENDING' AND capability IS NOT NULL AND tenant_id = $1 \
             AND capability = {capability}{behind} ORDER BY lane_id LIMIT 1)"
        )
    };
    let sql = format!(
        "WITH RECURSIVE t(capability, id) AS (SELECT v.capability, {} FROM {} \
         UNION ALL SELECT t.capability, {} FROM t WHERE t.id IS NOT NULL) \
         SELECT capability, id FROM t WHERE id IS NOT NULL LIMIT {MOST_OFFERED}",
        seek("v.capability", ""),
        tx.dialect().rows(2, &COLUMNS),
        seek("t.capability", " AND lane_id > t.id"),
    );
    let values = [vec![tenant.into()], tx.dialect().bind(&COLUMNS, capabilities)].concat();
    let lane = |row: &sea_orm::QueryResult| {
        let (id, capability) = (row.try_get("", "id")?, row.try_get("", "capability")?);
        Ok(Lane { tenant, id, capability: Some(capability), workspaces: workspaces.clone() })
    };
    tx.query(&sql, values).await?.iter().map(lane).collect()
}

/// Up to `most` ids behind `place`, then from the start: a turn round the circle.
async fn around(
    tx: &SystemTx,
    sql: &str,
    scope: &[Uuid],
    place: Uuid,
    most: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let mut ids = behind(tx, sql, scope, place, most).await?;
    let missing = most.saturating_sub(u64::try_from(ids.len()).unwrap_or(most));
    if missing > 0 && !place.is_nil() {
        let first = behind(tx, sql, scope, Uuid::nil(), missing).await?;
        ids.extend(first.into_iter().take_while(|id| *id <= place));
    }
    Ok(ids)
}

async fn behind(
    tx: &SystemTx,
    sql: &str,
    scope: &[Uuid],
    place: Uuid,
    most: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let mut values = vec![place.into(), i64::try_from(most).unwrap_or(i64::MAX).into()];
    values.extend(scope.iter().map(|id| (*id).into()));
    tx.query(sql, values).await?.iter().map(|row| row.try_get("", "id")).collect()
}

/// How many runs of a lane may start.
enum Slots {
    None,
    All,
    Some(u64),
}

/// None while the lane's agent is paused, and no more than its `maxConcurrent` over all nodes, which the
/// lock on its row makes exact. An agent that another node looks at now is passed over: waiting for it
/// could lock two nodes against each other.
async fn slots(tx: &SystemTx, tenant: Uuid, lane: Uuid) -> Result<Slots, DbErr> {
    let sql = "SELECT status, max_concurrent FROM agent WHERE tenant_id = $1 AND id = $2";
    let Some(agent) = tx.query(sql, vec![tenant.into(), lane.into()]).await?.into_iter().next() else {
        return Ok(Slots::All);
    };
    if agent.try_get::<AgentStatus>("", "status")? != AgentStatus::Active {
        return Ok(Slots::None);
    }
    if agent.try_get::<Option<i32>>("", "max_concurrent")?.is_none() {
        return Ok(Slots::All);
    }
    let locked = format!("{sql}{}", tx.dialect().skip_locked());
    let Some(agent) = tx.query(&locked, vec![tenant.into(), lane.into()]).await?.into_iter().next() else {
        return Ok(Slots::Some(0));
    };
    let limit = agent.try_get::<Option<i32>>("", "max_concurrent")?.map_or(i64::MAX, i64::from);
    let sql = "SELECT COUNT(*) AS running FROM task_run WHERE status = 'RUNNING' AND tenant_id = $1 AND lane_id = $2";
    let rows = tx.query(sql, vec![tenant.into(), lane.into()]).await?;
    let running: i64 = rows.first().map(|row| row.try_get("", "running")).transpose()?.unwrap_or(0);
    Ok(Slots::Some(u64::try_from(limit - running).unwrap_or(0)))
}
