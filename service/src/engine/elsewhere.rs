//! What the other nodes of the installation are told and tell, so that nobody waits for the next look: runs are queued
//! that this node does not take, a worker that waits there is called, a run has ended that somebody there waits for.
//!
//! Invariants: all of it is a hint, bounded in size and sent at most once a tick, never once a run; what is lost is
//! seen by looking. A node that is alone says nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entity::tasks::task_run::RunStatus;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::core::Core;
use crate::error::Result;

const CHANNEL: &str = "mission_control";
/// Hints gather this long.
const TICK: Duration = Duration::from_millis(20);
/// When listening has failed, it is tried again after this.
const PAUSE: Duration = Duration::from_secs(5);
/// Ends and calls in one hint, whose text has at most 8,000 bytes.
const MOST_ENDED: usize = 64;
const MOST_CALLED: usize = 16;

#[derive(Clone, Default)]
pub struct Elsewhere(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Other nodes are alive.
    is_somebody_there: AtomicBool,
    gathered: Mutex<Gathered>,
    rung: Notify,
}

#[derive(Default)]
struct Gathered {
    ended: Vec<(Uuid, RunStatus)>,
    called: BTreeSet<(Uuid, String)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Hint {
    from: Uuid,
    /// Runs are queued.
    queued: bool,
    ended: Vec<(Uuid, RunStatus)>,
    called: BTreeSet<(Uuid, String)>,
}

impl Elsewhere {
    pub fn set_others(&self, are_there: bool) {
        self.0.is_somebody_there.store(are_there, Ordering::Relaxed);
    }

    fn gather(&self, add: impl FnOnce(&mut Gathered)) {
        if self.0.is_somebody_there.load(Ordering::Relaxed) {
            add(&mut self.0.gathered.lock().unwrap_or_else(PoisonError::into_inner));
            self.0.rung.notify_one();
        }
    }

    /// Runs are queued, which this node may not take.
    pub fn queued(&self) {
        self.gather(|_| {});
    }

    /// A run ended or waits: whoever waits for that somewhere may look.
    pub fn ended(&self, run: Uuid, status: RunStatus) {
        self.gather(|gathered| {
            if gathered.ended.len() < MOST_ENDED {
                gathered.ended.push((run, status));
            }
        });
    }

    /// A run is queued for a worker, and none that waits here was called.
    pub fn called(&self, tenant: Uuid, capability: &str) {
        self.gather(|gathered| {
            if gathered.called.len() < MOST_CALLED {
                gathered.called.insert((tenant, capability.to_owned()));
            }
        });
    }

    fn take(&self) -> Gathered {
        std::mem::take(&mut *self.0.gathered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells the others what was gathered.
pub async fn tell(core: Core, stop: CancellationToken) {
    let inner = core.engine.0.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = inner.elsewhere.0.rung.notified() => {}
        }
        tokio::time::sleep(TICK).await;
        let Gathered { ended, called } = inner.elsewhere.take();
        // What this node has claimed meanwhile is nobody's business.
        let queued = inner.bells.backlog();
        if !queued && ended.is_empty() && called.is_empty() {
            continue;
        }
        let hint = Hint { from: inner.instance, queued, ended, called };
        let told = match serde_json::to_string(&hint) {
            Ok(text) => core.db.hint(CHANNEL, text).await,
            Err(cause) => Err(crate::error::Error::internal(cause)),
        };
        if let Err(cause) = told {
            tracing::debug!(%cause, "the other nodes were not told");
        }
    }
}

/// Hears what the others tell.
pub async fn listen(core: Core, stop: CancellationToken) {
    loop {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = hear(&core) => heard,
        };
        match heard {
            Ok(()) => return,
            Err(cause) => tracing::warn!(%cause, "cannot listen to the other nodes"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Returns where there is nobody to listen to.
async fn hear(core: &Core) -> Result<()> {
    let Some(mut hints) = core.db.hints(CHANNEL).await? else { return Ok(()) };
    let inner = &core.engine.0;
    loop {
        inner.bells.free();
        while let Some(text) = hints.next().await? {
            let hint: Hint = serde_json::from_str(&text).unwrap_or_default();
            if hint.from == inner.instance {
                continue;
            }
            metrics::counter!("engine_hints_total").increment(1);
            if hint.queued {
                inner.bells.free();
            }
            hint.ended.iter().for_each(|(run, status)| inner.watch.heard(*run, *status));
            hint.called.iter().for_each(|(tenant, capability)| {
                inner.callers.heard(*tenant, capability);
            });
        }
    }
}
