//! The leases that this node holds, and how their executors are told to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::{Model, RunReason};
use tokio::sync::watch;
use uuid::Uuid;

use super::Stop;
use super::policy::RunPolicy;

/// A lease on one run.
#[derive(Clone, Debug)]
pub struct Lease {
    pub tenant: Uuid,
    pub run: Uuid,
    pub attempt: i32,
    pub fence: i64,
    /// When the attempt times out.
    pub deadline: DateTime<Utc>,
    stop: Arc<watch::Sender<Option<Stop>>>,
}

impl Lease {
    /// That of a claimed run.
    pub fn of(run: &Model) -> Self {
        let ends = [run.attempt_deadline_at, run.deadline_at].into_iter().flatten().min();
        Self {
            tenant: run.tenant_id,
            run: run.id,
            attempt: run.attempt,
            fence: run.fence,
            deadline: ends.or(run.lease_expires_at).unwrap_or(run.updated_at),
            stop: Arc::new(watch::channel(None).0),
        }
    }

    pub fn stopped(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    pub async fn until_stopped(&self) -> Stop {
        let mut receiver = self.stop.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(stop) => stop.unwrap_or(Stop::LeaseLost),
            Err(_) => Stop::LeaseLost,
        }
    }

    /// Resolves when there is a stronger reason to stop than `weak`.
    pub async fn until_more_than(&self, weak: Stop) -> Stop {
        let mut receiver = self.stop.subscribe();
        match receiver.wait_for(|stop| stop.is_some_and(|stop| stop != weak)).await {
            Ok(stop) => stop.unwrap_or(Stop::LeaseLost),
            Err(_) => Stop::LeaseLost,
        }
    }

    /// The first reason stands, except that any overrides a drain, and a lost lease overrides all.
    fn tell(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let change = match *current {
                None => true,
                Some(Stop::Draining) => stop != Stop::Draining,
                Some(now) => stop == Stop::LeaseLost && now != Stop::LeaseLost,
            };
            if change {
                *current = Some(stop);
            }
            change
        });
    }
}

struct Held {
    lease: Lease,
    expires_at: DateTime<Utc>,
    /// How long the attempt may write nothing.
    patience: Option<TimeDelta>,
    written_at: DateTime<Utc>,
}

impl Held {
    fn is_stalled(&self, now: DateTime<Utc>) -> bool {
        self.patience.is_some_and(|patience| now - self.written_at >= patience)
    }
}

#[derive(Clone, Default)]
pub struct Leases(Arc<Mutex<HashMap<Uuid, Held>>>);

impl Leases {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self, run: &Model, until: DateTime<Utc>) -> Lease {
        let lease = Lease::of(run);
        let held = Held {
            lease: lease.clone(),
            expires_at: until,
            patience: RunPolicy::patience(run),
            written_at: run.updated_at,
        };
        self.held().insert(run.id, held);
        lease
    }

    /// The attempt wrote something.
    pub fn progressed(&self, lease: &Lease, now: DateTime<Utc>) {
        let mut held = self.held();
        if let Some(entry) = held.get_mut(&lease.run).filter(|entry| entry.lease.fence == lease.fence) {
            entry.written_at = now;
        }
    }

    pub fn give_back(&self, lease: &Lease) {
        let mut held = self.held();
        if held.get(&lease.run).is_some_and(|entry| entry.lease.fence == lease.fence) {
            held.remove(&lease.run);
        }
    }

    pub fn stop(&self, run: Uuid, stop: Stop) {
        if let Some(entry) = self.held().get(&run) {
            entry.lease.tell(stop);
        }
    }

    pub fn stop_tenant(&self, tenant: Uuid, stop: Stop) {
        for entry in self.held().values().filter(|entry| entry.lease.tenant == tenant) {
            entry.lease.tell(stop);
        }
    }

    pub fn stop_all(&self, stop: Stop) {
        for entry in self.held().values() {
            entry.lease.tell(stop);
        }
    }

    pub fn count(&self) -> usize {
        self.held().len()
    }

    /// How many each tenant has.
    pub fn by_tenant(&self) -> HashMap<Uuid, u64> {
        let mut counts = HashMap::new();
        self.held().values().for_each(|entry| *counts.entry(entry.lease.tenant).or_default() += 1);
        counts
    }

    /// Tenant, run and fence of every live lease that ends before `soon`: most runs end before their
    /// lease is worth renewing, and a renewal would meet their last write.
    pub fn renewable(&self, soon: DateTime<Utc>) -> Vec<(Uuid, Uuid, i64)> {
        let held = self.held();
        let live = held
            .values()
            .filter(|entry| entry.expires_at < soon && entry.lease.stopped() != Some(Stop::LeaseLost));
        live.map(|entry| (entry.lease.tenant, entry.lease.run, entry.lease.fence)).collect()
    }

    /// After a renewal: `kept` hold until then, the others of `asked` are lost.
    pub fn renewed(
        &self,
        asked: &[(Uuid, Uuid, i64)],
        kept: &HashMap<Uuid, RunReason>,
        until: DateTime<Utc>,
    ) {
        let mut held = self.held();
        for (_, run, fence) in asked {
            let Some(entry) = held.get_mut(run).filter(|entry| entry.lease.fence == *fence) else { continue };
            if kept.contains_key(run) {
                entry.expires_at = until;
            } else {
                entry.lease.tell(Stop::LeaseLost);
            }
        }
    }

    /// Stops what has run out of time by this node's own clock, whatever the database says later.
    pub fn enforce(&self, now: DateTime<Utc>) {
        for entry in self.held().values() {
            if entry.expires_at <= now {
                entry.lease.tell(Stop::LeaseLost);
            } else if entry.lease.deadline <= now {
                entry.lease.tell(Stop::TimedOut);
            } else if entry.is_stalled(now) {
                entry.lease.tell(Stop::Stalled);
            }
        }
    }
}
