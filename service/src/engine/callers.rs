//! The workers that wait for runs at this node. A run that is queued here wakes one of them at once; to be
//! called is a hint, and what counts is what its claim then takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::elsewhere::Elsewhere;

#[derive(Clone, Default)]
pub struct Callers {
    waiting: Arc<Mutex<Waiting>>,
    elsewhere: Elsewhere,
}

#[derive(Default)]
struct Waiting {
    /// By tenant, who came first first.
    tenants: HashMap<Uuid, Vec<Caller>>,
    next: u64,
    /// How many were called since the node started.
    calls: u64,
    is_closed: bool,
}

struct Caller {
    number: u64,
    capabilities: Arc<[String]>,
    called: Arc<Notify>,
    is_called: bool,
}

/// A place in the line, left when dropped.
pub struct Line {
    callers: Callers,
    tenant: Uuid,
    number: u64,
    called: Arc<Notify>,
}

impl Callers {
    pub fn new(elsewhere: Elsewhere) -> Self {
        Self { elsewhere, ..Self::default() }
    }

    fn lines(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.lines().tenants.values().map(Vec::len).sum()
    }

    /// How many were called since the node started.
    pub fn called(&self) -> u64 {
        self.lines().calls
    }

    /// From now on; what was queued before is not called.
    pub fn wait(&self, tenant: Uuid, capabilities: Arc<[String]>) -> Line {
        let mut waiting = self.lines();
        waiting.next += 1;
        let (number, called) = (waiting.next, Arc::new(Notify::new()));
        if waiting.is_closed {
            called.notify_one();
        }
        let caller = Caller { number, capabilities, called: called.clone(), is_called: false };
        waiting.tenants.entry(tenant).or_default().push(caller);
        Line { callers: self.clone(), tenant, number, called }
    }

    /// Calls the first in the line who offers this and is not called yet; without one, one of another node's.
    pub fn call(&self, tenant: Uuid, capability: &str) {
        if !self.heard(tenant, capability) {
            self.elsewhere.called(tenant, capability);
        }
    }

    /// Whether somebody who waits here was called.
    pub fn heard(&self, tenant: Uuid, capability: &str) -> bool {
        let mut waiting = self.lines();
        let Waiting { tenants, calls, .. } = &mut *waiting;
        let mut line = tenants.get_mut(&tenant).into_iter().flatten();
        let offers = |caller: &&mut Caller| {
            !caller.is_called && caller.capabilities.iter().any(|offered| offered == capability)
        };
        if let Some(caller) = line.find(offers) {
            caller.is_called = true;
            *calls += 1;
            caller.called.notify_one();
            return true;
        }
        false
    }

    /// Sends everybody away, now and from now on: the node stops.
    pub fn close(&self) {
        let mut waiting = self.lines();
        waiting.is_closed = true;
        waiting.tenants.values().flatten().for_each(|caller| caller.called.notify_one());
    }

    pub fn is_closed(&self) -> bool {
        self.lines().is_closed
    }
}

impl Line {
    pub async fn called(&self) {
        self.called.notified().await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut waiting = self.callers.lines();
        if let Some(line) = waiting.tenants.get_mut(&self.tenant) {
            line.retain(|caller| caller.number != self.number);
            if line.is_empty() {
                waiting.tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn offer(names: &[&str]) -> Arc<[String]> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn each_call_wakes_one_who_offers_it() {
        let (callers, tenant) = (Callers::default(), Uuid::from_u128(1));
        let first = callers.wait(tenant, offer(&["a"]));
        let second = callers.wait(tenant, offer(&["a", "b"]));
        let stranger = callers.wait(Uuid::from_u128(2), offer(&["a"]));
        let is_called = |line: &Line| line.called().now_or_never().is_some();
        callers.call(tenant, "b");
        assert!(!is_called(&first) && is_called(&second));
        callers.call(tenant, "a");
        assert!(is_called(&first) && !is_called(&second) && !is_called(&stranger));
        drop((first, second));
        callers.call(tenant, "a");
        assert_eq!((callers.waiting(), callers.called()), (1, 2));
        callers.close();
        assert!(is_called(&stranger) && is_called(&callers.wait(tenant, offer(&[]))));
    }
}
