//! The loops of a node: claim into free slots, renew leases, sweep, and stop in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use entity::tasks::task_run;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::claim::{Claim, Taker};
use super::leased::LeasedAttempt;
use super::node::{self, NodeName};
use super::turns::Turns;
use super::{BornReceiver, Engine, Executor, Stop, elsewhere, execute, releases, sweep, timers, transitions};
use crate::auth::signing;
use crate::core::Core;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::notifications::mails;
use crate::tasks::bulk_actions;
use crate::tasks::{batch_tasks, scheduled_tasks, workers};

/// Polling is the truth; everything else only makes it sooner.
const POLL: Duration = Duration::from_millis(500);
/// How often a node looks at its own clock for what must stop.
const TICK: Duration = Duration::from_millis(200);
/// How often a node asks whether another node's user cancelled one of its runs or stopped a tenant.
const CANCEL_POLL: Duration = Duration::from_secs(1);
/// A claim of many is cheaper than many claims: a busy node lets slots gather this long.
const GATHER: Duration = Duration::from_millis(1);
/// Claims in a row that find nothing to start while there are more tenants or lanes to look at.
const MOST_LOOKS: u32 = 64;
/// How long what a commit holds is left to it.
const LOCKED: Duration = Duration::from_millis(5);
/// How long leased runs may go on while the node stops.
const DRAIN: Duration = Duration::from_secs(30);

/// The running engine of a node.
pub struct Running {
    core: Core,
    stop: CancellationToken,
    loops: Vec<JoinHandle<()>>,
    attempts: TaskTracker,
    _name: NodeName,
}

impl Engine {
    /// Starts the loops of this node.
    pub async fn start(&self, core: &Core, executor: Arc<dyn Executor>) -> Result<Running> {
        let name = node::name(&core.config.data_dir, self.0.instance)?;
        sweep::sync_clock(core).await?;
        let released = node::register(core, &name.name, self.0.instance).await?;
        if released > 0 {
            tracing::info!(runs = released, "requeued what this node held before it stopped");
        }
        let born = self.0.born_receiver.lock().ok().and_then(|mut receiver| receiver.take());
        let born = born.ok_or_else(|| Error::internal("the engine was started twice"))?;
        let stop = CancellationToken::new();
        let attempts = TaskTracker::new();
        let dispatcher =
            Dispatcher { core: core.clone(), executor, attempts: attempts.clone(), turns: Turns::default() };
        let loops = vec![
            tokio::spawn(dispatcher.run(born, stop.clone())),
            tokio::spawn(heartbeat(core.clone(), stop.clone())),
            tokio::spawn(enforce(core.clone(), stop.clone())),
            tokio::spawn(foreign_stops(core.clone(), stop.clone())),
            tokio::spawn(sweeps(core.clone(), stop.clone())),
            tokio::spawn(timers::run(core.clone(), stop.clone())),
            tokio::spawn(trees(core.clone(), stop.clone())),
            tokio::spawn(elsewhere::tell(core.clone(), stop.clone())),
            tokio::spawn(elsewhere::listen(core.clone(), stop.clone())),
            tokio::spawn(releases::run(core.clone(), stop.clone())),
            tokio::spawn(mails::deliver(core.clone(), stop.clone())),
            tokio::spawn(bulk_actions::work(core.clone(), stop.clone())),
            tokio::spawn(scheduled_tasks::run(core.clone(), stop.clone())),
            tokio::spawn(batch_tasks::run(core.clone(), stop.clone())),
            tokio::spawn(workers::deliver(core.clone(), stop.clone())),
        ];
        self.0.claiming.store(true, Ordering::Relaxed);
        self.0.bells.free();
        Ok(Running { core: core.clone(), stop, loops, attempts, _name: name })
    }
}

impl Running {
    /// Takes no new work: what is claimed goes on.
    pub fn stop_claiming(&self) {
        self.core.engine.0.claiming.store(false, Ordering::Relaxed);
        self.core.engine.callers().close();
    }

    /// Stops claiming, lets attempts finish or give their runs back, then ends the loops.
    pub async fn drain(self) {
        self.stop_claiming();
        let engine = &self.core.engine;
        engine.leases().stop_all(Stop::Draining);
        self.attempts.close();
        if tokio::time::timeout(DRAIN, self.attempts.wait()).await.is_err() {
            tracing::warn!(
                runs = engine.executing(),
                "stopped while runs were executing: their leases expire"
            );
        }
        if let Err(error) = engine.admission().write().await {
            tracing::warn!(%error, "the runs of tenants could not be counted");
        }
        self.stop.cancel();
        for task in self.loops {
            let _ = task.await;
        }
        if let Err(cause) = node::stopped(&self.core, engine.0.instance).await {
            tracing::warn!(%cause, "could not say that this node has ended");
        }
    }
}

struct Dispatcher {
    core: Core,
    executor: Arc<dyn Executor>,
    attempts: TaskTracker,
    turns: Turns,
}

impl Dispatcher {
    async fn run(self, mut born: BornReceiver, stop: CancellationToken) {
        let inner = self.core.engine.0.clone();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((run, permit)) = born.recv() => {
                    self.spawn(run, permit);
                    continue;
                }
                () = inner.bells.until_claim() => {
                    if inner.slots.available_permits() < inner.settings.concurrency / 4 {
                        tokio::time::sleep(GATHER).await;
                    }
                }
                _ = poll.tick() => {}
            }
            if !inner.quarantine.is_on()
                && let Err(cause) = self.fill().await
            {
                tracing::warn!(%cause, "could not claim");
            }
        }
    }

    /// Claims into the free slots, until they are full, nothing is due or the node stops: what it would claim then it
    /// would give back, and claim again.
    async fn fill(&self) -> Result<()> {
        let inner = &self.core.engine.0;
        let mut looks = 0;
        while inner.claiming.load(Ordering::Relaxed) {
            let free = inner.slots.available_permits();
            let Ok(mut permits) =
                inner.slots.clone().try_acquire_many_owned(u32::try_from(free).unwrap_or(u32::MAX))
            else {
                continue;
            };
            if free == 0 {
                return Ok(());
            }
            let claim = Claim {
                db: &self.core.db,
                plans: &self.core.config.plans,
                turns: &self.turns,
                taker: &Taker::Node(self.core.engine.reserve()),
                owner: inner.instance,
                now: self.core.clock.now(),
                lease: inner.settings.lease,
            };
            // Set before the claim looks, so that a run which is queued meanwhile sets it again.
            inner.bells.set_backlog(false);
            let claimed = claim.take(u64::try_from(free).unwrap_or(u64::MAX)).await.inspect_err(|_| {
                inner.bells.set_backlog(true);
            })?;
            inner.limited.store(claimed.limited, Ordering::Relaxed);
            let full = claimed.runs.len() >= free;
            // A look that found others' turns but nothing due goes round the circle, not for ever.
            looks += 1;
            let again = full || (claimed.more && looks < MOST_LOOKS);
            if again {
                inner.bells.set_backlog(true);
            }
            for run in claimed.runs {
                let Some(permit) = permits.split(1) else { break };
                self.spawn(run, permit);
            }
            if !again {
                return Ok(());
            }
        }
        Ok(())
    }

    fn spawn(&self, run: task_run::Model, permit: OwnedSemaphorePermit) {
        let core = self.core.clone();
        let until = run.lease_expires_at.unwrap_or_else(|| core.clock.now());
        let lease = core.engine.leases().take(&run, until);
        if !core.engine.0.claiming.load(Ordering::Relaxed) {
            core.engine.leases().stop(run.id, Stop::Draining);
        }
        let attempt = LeasedAttempt::new(core.clone(), run.clone(), lease);
        let executor = self.executor.clone();
        self.attempts.spawn(async move {
            execute::execute(core.clone(), run, attempt, executor).await;
            drop(permit);
            let inner = &core.engine.0;
            if inner.bells.backlog() || inner.limited.load(Ordering::Relaxed) {
                inner.bells.free();
            }
        });
    }
}

async fn heartbeat(core: Core, stop: CancellationToken) {
    let inner = core.engine.0.clone();
    let mut pause = inner.settings.heartbeat;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match beat(&core).await {
            Ok(()) => inner.settings.heartbeat,
            Err(cause) => {
                tracing::warn!(%cause, "could not renew leases");
                inner.settings.heartbeat.min(Duration::from_secs(1))
            }
        };
    }
}

async fn beat(core: &Core) -> Result<()> {
    let inner = &core.engine.0;
    let now = core.clock.now();
    let until = now + TimeDelta::from_std(inner.settings.lease).unwrap_or_default();
    let leases =
        inner.leases.renewable(until - TimeDelta::from_std(inner.settings.heartbeat / 2).unwrap_or_default());
    let tx = core.db.system(Reason::Engine).begin().await?;
    tx.execute(
        "UPDATE engine_node SET last_seen_at = $1 WHERE id = $2",
        vec![now.into(), inner.instance.into()],
    )
    .await?;
    let kept = match leases.is_empty() {
        true => Default::default(),
        false => transitions::renew(&tx, inner.instance, &leases, now, until).await?,
    };
    tx.commit().await?;
    inner.leases.renewed(&leases, &kept, until);
    Ok(())
}

async fn enforce(core: Core, stop: CancellationToken) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => core.engine.leases().enforce(core.clock.now()),
        }
    }
}

async fn foreign_stops(core: Core, stop: CancellationToken) {
    let inner = core.engine.0.clone();
    let mut tick = tokio::time::interval(CANCEL_POLL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if inner.leases.count() == 0 {
            continue;
        }
        if let Err(cause) = follow_stops(&core).await {
            tracing::warn!(%cause, "could not look for what others stopped");
        }
    }
}

async fn follow_stops(core: &Core) -> Result<()> {
    let system = core.db.system(Reason::Engine);
    let cancelled = "SELECT id FROM task_run WHERE status = 'RUNNING' AND reason = 'CANCEL_REQUESTED' AND lease_owner = $1";
    for row in system.query(cancelled, vec![core.engine.0.instance.into()]).await? {
        core.engine.cancel_here(row.try_get("", "id")?);
    }
    for row in system.query("SELECT id FROM tenant WHERE stopped_at IS NOT NULL", Vec::new()).await? {
        core.engine.hold_back(row.try_get("", "id")?);
    }
    Ok(())
}

async fn sweeps(core: Core, stop: CancellationToken) {
    let mut tick = tokio::time::interval(core.engine.settings().sweep);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let keys = follow_nodes(&core).await.and(follow_keys(&core).await);
        let swept = sweep::sweep(&core).await.and(keys);
        core.engine.0.healthy.store(swept.is_ok(), Ordering::Relaxed);
        if let Err(cause) = swept {
            tracing::warn!(%cause, "could not sweep");
        }
    }
}

/// What the ends of runs left to do in their trees: at once where this node knows of it, and with every sweep.
async fn trees(core: Core, stop: CancellationToken) {
    let inner = core.engine.0.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = inner.bells.until_settle() => {}
            () = tokio::time::sleep(inner.settings.sweep) => {}
        }
        for _ in 0..MOST_LOOKS {
            match sweep::settle_trees(&core).await {
                Ok(true) => tokio::time::sleep(LOCKED).await,
                Ok(false) => break,
                Err(cause) => {
                    tracing::warn!(%cause, "could not settle the trees of runs");
                    break;
                }
            }
        }
    }
}

/// Whether there are others to tell something.
async fn follow_nodes(core: &Core) -> Result<()> {
    let others = node::is_any_alive(core, Some(core.engine.instance())).await?;
    core.engine.0.elsewhere.set_others(others);
    Ok(())
}

/// What others, or time, changed about the keys of secrets and of access tokens.
async fn follow_keys(core: &Core) -> Result<()> {
    node::follow_keys(core, core.engine.0.instance).await?;
    signing::follow(core).await
}
