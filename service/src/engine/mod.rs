//! The durable run engine: claim, lease, dispatch, retry, timers, recovery.
//!
//! Everything a run becomes is decided in [`transitions`]; this module starts and stops the loops.

mod admission;
mod attempt;
mod bells;
mod callers;
mod circles;
mod claim;
mod commit;
mod dispatch;
mod elsewhere;
mod execute;
mod finish;
mod keyed;
mod leased;
mod leases;
mod node;
mod offered;
pub mod policy;
pub mod rates;
pub mod releases;
pub mod remote;
mod reserve;
mod rooms;
pub mod spacing;
mod sweep;
mod timers;
pub mod transitions;
mod turns;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use entity::tasks::task_run;
use entity::tasks::task_run::RunStatus;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

pub use admission::{Admission, Place, RunUsage};
pub use attempt::{
    Attempt, Event, Executor, LeaseLost, Outcome, Progress, Question, RunError, Step, Stop, Wait,
};
pub use callers::Callers;
pub use claim::{Claim, Claimed, Taker};
pub use commit::{Awaited, Committer, Created, busy};
pub use dispatch::Running;
pub use execute::{ended, settle};
pub use finish::ending;
pub use keyed::refused;
pub use leased::LeasedAttempt;
pub use leases::{Lease, Leases};
pub use node::is_any_alive;
pub use reserve::Reserve;
pub use transitions::{Spawn, Wake};
pub use turns::Turns;
pub use watch::{Seen, Subscription};

use crate::backup::Quarantine;
use crate::clock::Clock;
use crate::db::Db;
use crate::error::Result;
use crate::identity::plans::Plans;
use crate::ids::Ids;
use bells::Bells;
use elsewhere::Elsewhere;
use policy::RunPolicy;
use transitions::{Born, HeldWrite, NewRun, Written};
use watch::Watch;

/// How this node executes runs.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// How many runs this node executes at once; 0 executes none.
    pub concurrency: usize,
    pub lease: Duration,
    pub heartbeat: Duration,
    pub sweep: Duration,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            concurrency: 256,
            lease: Duration::from_secs(60),
            heartbeat: Duration::from_secs(20),
            sweep: Duration::from_secs(5),
        }
    }
}

#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    db: Db,
    settings: EngineSettings,
    quarantine: Quarantine,
    /// This process, among all that ever held a lease.
    instance: Uuid,
    admission: Admission,
    committer: Committer,
    leases: Leases,
    watch: Watch,
    /// Workers that wait for runs at this node.
    callers: Callers,
    elsewhere: Elsewhere,
    /// Whose turn it is among the lanes that workers claim from.
    worker_turns: Turns,
    slots: Arc<Semaphore>,
    /// A wait was registered here, which may be over before all others.
    due: Notify,
    bells: Bells,
    /// Due runs wait for others of their agent to end: the end of a run is a reason to claim.
    limited: AtomicBool,
    /// The loops run and take work.
    claiming: AtomicBool,
    /// The last look for what time caused succeeded.
    healthy: AtomicBool,
    /// Runs that were born running here, on their way to the dispatcher.
    born: tokio::sync::mpsc::UnboundedSender<(task_run::Model, OwnedSemaphorePermit)>,
    born_receiver: std::sync::Mutex<Option<BornReceiver>>,
}

type BornReceiver = tokio::sync::mpsc::UnboundedReceiver<(task_run::Model, OwnedSemaphorePermit)>;

impl Engine {
    pub fn new(
        db: Db,
        clock: Clock,
        ids: Ids,
        settings: EngineSettings,
        plans: Plans,
        quarantine: Quarantine,
    ) -> Self {
        let elsewhere = Elsewhere::default();
        let watch = Watch::new(elsewhere.clone());
        let bells = Bells::new(elsewhere.clone());
        let committer = Committer::start(&db, &clock, &watch, &bells);
        // Bounded by the slots: every message holds a permit.
        let (born, born_receiver) = tokio::sync::mpsc::unbounded_channel();
        Self(Arc::new(Inner {
            db: db.clone(),
            slots: Arc::new(Semaphore::new(settings.concurrency)),
            instance: ids.next(),
            settings,
            quarantine,
            admission: Admission::new(db, clock, plans),
            committer,
            leases: Leases::default(),
            watch,
            callers: Callers::new(elsewhere.clone()),
            elsewhere,
            worker_turns: Turns::default(),
            due: Notify::new(),
            bells,
            limited: AtomicBool::new(false),
            claiming: AtomicBool::new(false),
            healthy: AtomicBool::new(false),
            born,
            born_receiver: std::sync::Mutex::new(Some(born_receiver)),
        }))
    }

    pub fn settings(&self) -> &EngineSettings {
        &self.0.settings
    }

    /// This process, as the holder of leases.
    pub fn instance(&self) -> Uuid {
        self.0.instance
    }

    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub fn committer(&self) -> &Committer {
        &self.0.committer
    }

    pub fn leases(&self) -> &Leases {
        &self.0.leases
    }

    /// Commits a write under a lease. What it waits for may be the next to be over.
    pub async fn write(&self, write: HeldWrite, awaited: Awaited) -> Result<Written, LeaseLost> {
        let waits = !awaited.waits.is_empty();
        let written = self.0.committer.write(write, awaited).await;
        if waits {
            self.0.due.notify_one();
        }
        written
    }

    /// Inserts a run and starts it at once if this node has a free slot and nothing is queued before it.
    ///
    /// # Errors
    /// 403 `quota_exceeded`, `tenant_suspended`; 409 `concurrency_limit`; 429 `queue_full`; 503 `engine_busy`.
    pub async fn submit(
        &self,
        run: task_run::Model,
        request_id: Option<String>,
        record: Option<entity::governance::idempotency_record::Model>,
    ) -> Result<Created> {
        let place = self.0.admission.place(run.tenant_id).await?;
        let permit = self.slot_for(&run);
        let born = permit.as_ref().map(|_| self.birth(&run));
        let by_keys = transitions::decide(&run);
        let new = NewRun { run, request_id, born };
        let created = match by_keys {
            true => self.create_by_keys(new, record).await?,
            false => self.0.committer.create(new, record).await?,
        };
        if let Created::New(run) = &created {
            place.keep(run.status);
            match permit
                .filter(|_| run.status == RunStatus::Running && run.lease_owner == Some(self.0.instance))
            {
                Some(permit) => {
                    // The receiver lives as long as the engine; without one the lease expires.
                    let _ = self.0.born.send(((**run).clone(), permit));
                }
                None if run.capability.is_some() => self.call_worker(run),
                None => self.nudge(),
            }
        }
        Ok(created)
    }

    fn slot_for(&self, run: &task_run::Model) -> Option<OwnedSemaphorePermit> {
        let may = self.0.claiming.load(Ordering::Relaxed)
            && !self.0.quarantine.is_on()
            && !self.0.bells.backlog()
            && run.capability.is_none()
            && run.concurrency_key.is_empty()
            && run.available_at <= run.created_at;
        if may && self.has_room(run.tenant_id) { self.0.slots.clone().try_acquire_owned().ok() } else { None }
    }

    /// Whether a slot is free that is not kept for other tenants.
    fn has_room(&self, tenant: Uuid) -> bool {
        let free = u64::try_from(self.0.slots.available_permits()).unwrap_or(u64::MAX);
        free > Reserve::kept(self.0.settings.concurrency) || self.reserve().room(free, tenant) > 0
    }

    fn reserve(&self) -> Reserve {
        Reserve::of(self.0.settings.concurrency, self.0.leases.by_tenant())
    }

    fn birth(&self, run: &task_run::Model) -> Born {
        let policy = RunPolicy::of(run);
        let after = |seconds: u32| run.created_at + TimeDelta::seconds(i64::from(seconds));
        Born {
            owner: self.0.instance,
            lease_expires_at: run.created_at + TimeDelta::from_std(self.0.settings.lease).unwrap_or_default(),
            attempt_deadline_at: after(policy.timeouts.attempt_seconds),
            deadline_at: after(policy.timeouts.total_seconds),
        }
    }

    /// Something may be claimable now.
    pub fn nudge(&self) {
        self.0.bells.claim();
    }

    /// A run of a tree changed outside the group commit: its kin may be claimable, or have something to settle.
    pub fn announce_tree(&self) {
        self.0.bells.claim();
        self.0.bells.settle();
    }

    /// A run is queued: tells a worker that waits here for such a one. Any other sees it when it looks again.
    pub fn call_worker(&self, run: &task_run::Model) {
        if let Some(capability) = &run.capability {
            self.0.callers.call(run.tenant_id, capability);
            self.0.bells.push();
        }
    }

    /// Until a run is queued here that only a worker can take.
    pub async fn until_worker_is_called(&self) {
        self.0.bells.until_push().await;
    }

    pub fn callers(&self) -> &Callers {
        &self.0.callers
    }

    pub fn worker_turns(&self) -> &Turns {
        &self.0.worker_turns
    }

    /// Whether this is a restored copy, which works on nothing.
    pub fn is_quarantined(&self) -> bool {
        self.0.quarantine.is_on()
    }

    /// A run changed outside the group commit: tell who watches, and claim it if it is queued again.
    pub fn announce(&self, run: Uuid, status: RunStatus) {
        self.0.watch.notify(run, status);
        if status == RunStatus::Pending {
            self.nudge();
        }
    }

    /// Tells the executor of a run on this node that its cancel was asked for.
    pub fn cancel_here(&self, run: Uuid) {
        self.0.leases.stop(run, Stop::Cancelled);
    }

    /// Runs of a stopped tenant that execute on this node end their current step and are given back.
    pub fn hold_back(&self, tenant: Uuid) {
        self.0.leases.stop_tenant(tenant, Stop::Draining);
    }

    /// Sees the changes that this node makes to a run from now on.
    pub fn watch(&self, run: Uuid) -> Subscription {
        self.0.watch.subscribe(run)
    }

    /// Whether this node's loops run and reach the database: part of readiness.
    pub fn is_healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Relaxed)
    }

    /// Whether this node takes new work.
    pub fn is_claiming(&self) -> bool {
        self.0.claiming.load(Ordering::Relaxed)
    }

    /// How many runs this node executes now.
    pub fn executing(&self) -> usize {
        self.0.leases.count()
    }
}
