//! Fair claims. Tenants take turns by weight, inside a tenant its lanes (one an agent or tool) take
//! turns, inside a lane its concurrency keys, inside a key the order is age moved by priority. A tenant with a
//! million queued runs does not delay another's first, nor a full key the other keys of its lane. A worker claims
//! by the same rules, within its tenant and what it offers.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::identity::tenant::TenantStatus;
use entity::tasks::task_run::{self, RunReason};
use sea_orm::DbErr;
use uuid::Uuid;

use super::circles::{self, Lane, MOST_KEYS, MOST_LANES, MOST_TENANTS};
use super::reserve::Reserve;
use super::rooms::{self, Room};
use super::transitions::{self, Queue, Workspaces};
use super::turns::Turns;
use crate::db::{Db, Reason, SystemTx};
use crate::error::Result;
use crate::identity::plans::Plans;

/// Locks of keys in one claim: the database has room for some thousands in all.
const MOST_LOCKS: u64 = 256;
/// Runs of paused definitions that one claim takes out of queues, and the fewest that it looks at in one queue.
const MOST_HELD: u64 = 1_000;
const LEAST_LOOK: u64 = 64;

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
    Node(Reserve),
    /// A worker takes its tenant's runs that need what it offers, where its credential sees them.
    Worker { tenant: Uuid, workspaces: Workspaces },
}

impl Taker {
    fn workspaces(&self) -> &Workspaces {
        match self {
            Self::Node(_) => Workspaces::ALL,
            Self::Worker { workspaces, .. } => workspaces,
        }
    }

    fn reserve(&self) -> Reserve {
        match self {
            Self::Node(reserve) => reserve.clone(),
            Self::Worker { .. } => Reserve::default(),
        }
    }
}

/// One tenant's share of a claim.
pub(super) struct Share {
    pub tenant: Uuid,
    pub weight: u64,
    /// Some of its definitions are paused.
    pub pauses: bool,
    pub lanes: Vec<Lane>,
}

/// What a tenant that may start runs has.
pub(super) struct Standing {
    pub weight: u64,
    pub pauses: bool,
}

/// What a claim took, and whether another look at once may take more.
pub struct Claimed {
    pub runs: Vec<task_run::Model>,
    /// There were more tenants, lanes or keys than one claim looks at.
    pub more: bool,
    /// Due runs wait for others of their agent or key to end.
    pub limited: bool,
    /// Keys that were looked at: each is locked until the commit.
    keys: u64,
    /// Runs that were taken out of queues.
    held: u64,
}

impl Claim<'_> {
    /// Up to `most` due runs, each with a new fence and lease.
    pub async fn take(&self, most: u64) -> Result<Claimed> {
        let tx = self.db.system(Reason::Engine).begin().await?;
        let (mut left, (mut shares, more)) = match self.taker {
            Taker::Node(_) => (most, self.shares(&tx).await?),
            Taker::Worker { tenant, .. } => self.worker_share(&tx, *tenant, most).await?,
        };
        let last = shares.last().map(|share| share.tenant);
        let mut claimed = Claimed { runs: Vec::new(), more, limited: false, keys: 0, held: 0 };
        let mut reserve = self.taker.reserve();
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
                let room = reserve.room(left, share.tenant);
                if room == 0 {
                    claimed.limited = true;
                    share.lanes.clear();
                    continue;
                }
                let due = (round * share.weight).div_ceil(weights.max(1)).min(room);
                let taken = self.take_share(&tx, share, due, &mut claimed).await?.min(left);
                left -= taken;
                reserve.take(share.tenant, taken);
            }
            shares.retain(|share| !share.lanes.is_empty());
        }
        if let Some(last) = last.filter(|_| left > 0) {
            self.turns.tenant(last);
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Up to `due` runs of the tenant; answers with how many.
    async fn take_share(
        &self,
        tx: &SystemTx,
        share: &mut Share,
        due: u64,
        claimed: &mut Claimed,
    ) -> Result<u64, DbErr> {
        let mut left = due;
        let mut lanes = std::mem::take(&mut share.lanes).into_iter();
        while left > 0 {
            let Some(lane) = lanes.next() else { break };
            let waiting = u64::try_from(lanes.len()).unwrap_or(0);
            let quantum = left.div_ceil(waiting + 1);
            let room = rooms::room(tx, share.tenant, lane.id, self.now).await?;
            let free = match &room {
                Room::None => 0,
                Room::All => quantum,
                Room::Slots(free) => {
                    claimed.limited |= *free < quantum;
                    if *free == 0 {
                        metrics::counter!("engine_blocked_total", "limit" => "max_concurrent").increment(1);
                    }
                    quantum.min(*free)
                }
                Room::Tokens(tokens) => {
                    if tokens.count() == 0 {
                        metrics::counter!("engine_blocked_total", "limit" => "rate").increment(1);
                        let queue = self.queue(share.tenant, &lane, "");
                        transitions::show_blocked(tx, queue, RunReason::RateLimited, self.now).await?;
                    }
                    quantum.min(tokens.count())
                }
            };
            let count = match free {
                0 => 0,
                free if lane.is_keyed => self.take_keys(tx, share, &lane, free, claimed).await?,
                free => {
                    let queue = self.queue(share.tenant, &lane, "");
                    self.take_queue(tx, queue, share.pauses, free, claimed).await?
                }
            };
            if let Room::Tokens(tokens) = room
                && count > 0
            {
                tokens.spend(tx, count).await?;
            }
            left -= count.min(left);
            self.turns.lane(share.tenant, lane.id);
            if count == quantum {
                share.lanes.push(lane);
            }
        }
        // Lanes that had no turn keep it for the next round.
        let rest: Vec<Lane> = lanes.chain(share.lanes.drain(..)).collect();
        share.lanes = rest;
        Ok(due - left)
    }

    /// What this claim may take of a lane under one key.
    fn queue<'a>(&'a self, tenant: Uuid, lane: &'a Lane, key: &'a str) -> Queue<'a> {
        let (capability, workspaces) = (lane.capability.as_deref(), self.taker.workspaces());
        Queue { tenant, lane: lane.id, key, capability, workspaces }
    }

    /// Up to `most` runs of a lane, its keys in turn; a key that gave what was asked of it gets another turn.
    async fn take_keys(
        &self,
        tx: &SystemTx,
        share: &Share,
        lane: &Lane,
        most: u64,
        claimed: &mut Claimed,
    ) -> Result<u64, DbErr> {
        let (mut left, tenant) = (most, share.tenant);
        let mut keys = VecDeque::from(circles::keys_of(tx, self.turns, tenant, lane).await?);
        claimed.more |= is_full(keys.len(), MOST_KEYS);
        while left > 0 {
            let Some(key) = keys.pop_front() else { break };
            if claimed.keys >= MOST_LOCKS {
                claimed.more = true;
                break;
            }
            let quantum = left.div_ceil(u64::try_from(keys.len()).unwrap_or(0) + 1);
            let queue = self.queue(tenant, lane, &key);
            let free =
                if key.is_empty() { quantum } else { self.key_slots(tx, queue, claimed).await?.min(quantum) };
            claimed.limited |= free < quantum;
            let count = match free {
                0 => 0,
                free => self.take_queue(tx, queue, share.pauses, free, claimed).await?,
            };
            left -= count.min(left);
            self.turns.key(tenant, lane.id, &key);
            if count == quantum {
                keys.push_back(key);
            }
        }
        Ok(most - left)
    }

    async fn key_slots(&self, tx: &SystemTx, queue: Queue<'_>, claimed: &mut Claimed) -> Result<u64, DbErr> {
        claimed.keys += 1;
        let free = transitions::free_slots(tx, queue.tenant, queue.key).await?;
        if free == Some(0) {
            metrics::counter!("engine_blocked_total", "limit" => "concurrency_key").increment(1);
            transitions::show_blocked(tx, queue, RunReason::ConcurrencyLimit, self.now).await?;
        }
        Ok(free.unwrap_or(0))
    }

    async fn take_queue(
        &self,
        tx: &SystemTx,
        queue: Queue<'_>,
        pauses: bool,
        most: u64,
        claimed: &mut Claimed,
    ) -> Result<u64, DbErr> {
        if pauses && !self.pass_paused(tx, queue, most, claimed).await? {
            return Ok(0);
        }
        let runs = transitions::claim_queue(tx, queue, most, self.owner, self.now, self.lease).await?;
        let count = u64::try_from(runs.len()).unwrap_or(most);
        claimed.runs.extend(runs);
        Ok(count)
    }

    /// Takes what is paused out of the front of the queue, so that no later claim looks at it. `false` when this claim
    /// has passed as much as one does: the next goes on from there.
    async fn pass_paused(
        &self,
        tx: &SystemTx,
        queue: Queue<'_>,
        most: u64,
        claimed: &mut Claimed,
    ) -> Result<bool, DbErr> {
        let mut look = most.max(LEAST_LOOK);
        while claimed.held < MOST_HELD {
            let held = transitions::hold(tx, queue, look, self.now).await?;
            if held == 0 {
                return Ok(true);
            }
            claimed.held += held;
            look = MOST_HELD;
        }
        claimed.more = true;
        Ok(false)
    }

    /// The tenants whose turn it is, with their lanes, in the order of the turns; and whether there are more.
    async fn shares(&self, tx: &SystemTx) -> Result<(Vec<Share>, bool), DbErr> {
        let tenants = circles::tenants(tx, self.turns).await?;
        let mut more = is_full(tenants.len(), MOST_TENANTS);
        let mut shares = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let Some(Standing { weight, pauses }) = self.standing(tx, tenant).await? else { continue };
            let lanes = circles::lanes(tx, self.turns, tenant).await?;
            more |= is_full(lanes.len(), MOST_LANES);
            shares.push(Share { tenant, weight, pauses, lanes });
        }
        Ok((shares, more))
    }

    /// The tenant's weight among others, and whether something of it is paused; `None` when it may start nothing.
    pub(super) async fn standing(&self, tx: &SystemTx, tenant: Uuid) -> Result<Option<Standing>, DbErr> {
        let sql = "SELECT status, stopped_at, plan, (SELECT COUNT(*) FROM (SELECT 1 AS one FROM task_definition d \
             WHERE d.tenant_id = $1 AND d.paused_at IS NOT NULL LIMIT 1) q) AS paused FROM tenant WHERE id = $1";
        let rows = tx.query(sql, vec![tenant.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let stopped = row.try_get::<Option<DateTime<Utc>>>("", "stopped_at")?.is_some();
        if stopped || row.try_get::<TenantStatus>("", "status")? != TenantStatus::Active {
            return Ok(None);
        }
        let weight = u64::from(self.plans.of(row.try_get("", "plan")?).weight);
        Ok(Some(Standing { weight, pauses: row.try_get::<i64>("", "paused")? > 0 }))
    }
}

fn is_full(found: usize, most: u64) -> bool {
    u64::try_from(found).unwrap_or(most) >= most
}
