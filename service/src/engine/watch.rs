//! Who waits for a run on this node. A notification is a hint: what counts is what the database says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use entity::tasks::task_run::{Model, RunStatus};
use tokio::sync::watch;
use uuid::Uuid;

use super::elsewhere::Elsewhere;

#[derive(Clone, Default)]
pub struct Watch {
    watchers: Arc<Mutex<HashMap<Uuid, watch::Sender<Seen>>>>,
    elsewhere: Elsewhere,
}

/// The newest that this node knows of a run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    changes: u64,
    pub status: Option<RunStatus>,
    /// The run as it was read after it ended here, once for all who wait.
    pub ended: Option<Arc<Model>>,
}

impl Watch {
    pub fn new(elsewhere: Elsewhere) -> Self {
        Self { elsewhere, ..Self::default() }
    }

    /// From now on; a change before is not seen.
    pub fn subscribe(&self, run: Uuid) -> Subscription {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = watchers.entry(run).or_insert_with(|| watch::channel(Seen::default()).0);
        Subscription { run, receiver: Some(sender.subscribe()), watch: self.clone() }
    }

    pub fn notify(&self, run: Uuid, status: RunStatus) {
        if status.is_terminal() || status == RunStatus::Waiting {
            self.elsewhere.ended(run, status);
        }
        self.heard(run, status);
    }

    pub fn ended(&self, run: Model) {
        self.elsewhere.ended(run.id, run.status);
        self.tell(run.id, run.status, Some(Arc::new(run)));
    }

    /// Another node changed it.
    pub fn heard(&self, run: Uuid, status: RunStatus) {
        self.tell(run, status, None);
    }

    /// Whether somebody on this node waits for the run.
    pub fn is_watched(&self, run: Uuid) -> bool {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run)
    }

    fn tell(&self, run: Uuid, status: RunStatus, ended: Option<Arc<Model>>) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watchers.get(&run) {
            sender
                .send_modify(|seen| *seen = Seen { changes: seen.changes + 1, status: Some(status), ended });
        }
    }
}

pub struct Subscription {
    run: Uuid,
    receiver: Option<watch::Receiver<Seen>>,
    watch: Watch,
}

impl Subscription {
    /// Waits for the next change that this node makes to the run.
    pub async fn changed(&mut self) -> Seen {
        let Some(receiver) = &mut self.receiver else { return std::future::pending().await };
        match receiver.changed().await {
            Ok(()) => receiver.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watchers = self.watch.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        self.receiver = None;
        if watchers.get(&self.run).is_some_and(|sender| sender.receiver_count() == 0) {
            watchers.remove(&self.run);
        }
    }
}
