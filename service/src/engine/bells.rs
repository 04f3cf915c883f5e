//! What wakes the loops of a node. A bell is a hint: each loop also looks by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::elsewhere::Elsewhere;

#[derive(Clone)]
pub struct Bells(Arc<Inner>);

struct Inner {
    /// Something may be claimable, or a slot is free.
    claim: Notify,
    /// Runs may be queued that this node did not claim: nothing is born running before them.
    backlog: AtomicBool,
    /// A tree has something to settle that was locked.
    settle: Notify,
    /// A run is queued that only a worker can take.
    push: Notify,
    elsewhere: Elsewhere,
}

impl Bells {
    pub fn new(elsewhere: Elsewhere) -> Self {
        Self(Arc::new(Inner {
            claim: Notify::new(),
            backlog: AtomicBool::new(true),
            settle: Notify::new(),
            push: Notify::new(),
            elsewhere,
        }))
    }

    /// Runs are queued.
    pub fn claim(&self) {
        self.0.elsewhere.queued();
        self.0.backlog.store(true, Ordering::Relaxed);
        self.0.claim.notify_one();
    }

    /// A slot is free.
    pub fn free(&self) {
        self.0.claim.notify_one();
    }

    pub async fn until_claim(&self) {
        self.0.claim.notified().await;
    }

    pub fn backlog(&self) -> bool {
        self.0.backlog.load(Ordering::Relaxed)
    }

    pub fn set_backlog(&self, backlog: bool) {
        self.0.backlog.store(backlog, Ordering::Relaxed);
    }

    pub fn push(&self) {
        self.0.push.notify_one();
    }

    pub async fn until_push(&self) {
        self.0.push.notified().await;
    }

    pub fn settle(&self) {
        self.0.settle.notify_one();
    }

    pub async fn until_settle(&self) {
        self.0.settle.notified().await;
    }
}
