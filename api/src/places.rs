//! Bounds on what callers keep open: so many on this node, so many for a tenant and so many for a
//! caller at once. A place is free again when dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service::ctx::Ctx;
use service::error::Error;
use uuid::Uuid;

const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How many at once. What is more is 503 for the node and 429 with `code` for the others.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub on_node: usize,
    pub of_tenant: usize,
    pub of_caller: usize,
    pub code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Node,
    Tenant(Uuid),
    Caller(Uuid, String),
}

type Held = Arc<Mutex<HashMap<Holder, usize>>>;

pub struct Places {
    held: Held,
    most: Most,
}

/// One place taken.
#[derive(Debug)]
pub struct Place {
    held: Held,
    holders: [Holder; 3],
}

impl Places {
    pub fn new(most: Most) -> Self {
        Self { held: Arc::default(), most }
    }

    /// A place for the caller of `ctx`.
    ///
    /// # Errors
    /// 429 when the caller or the tenant has all of theirs, 503 when the node has none.
    pub fn take(&self, ctx: &Ctx) -> Result<Place, Error> {
        self.take_for(ctx.tenant, ctx.actor.to_string())
    }

    /// How many are taken on this node.
    pub fn taken(&self) -> usize {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&Holder::Node).copied().unwrap_or_default()
    }

    fn take_for(&self, tenant: Uuid, caller: String) -> Result<Place, Error> {
        let code = self.most.code;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |holder: &Holder, most| held.get(holder).is_some_and(|count| *count >= most);
        let holders = [Holder::Node, Holder::Tenant(tenant), Holder::Caller(tenant, caller)];
        let [node, tenant, caller] = &holders;
        if full(caller, self.most.of_caller) || full(tenant, self.most.of_tenant) {
            return Err(Error::RateLimited { code, retry_after: RETRY_AFTER });
        }
        if full(node, self.most.on_node) {
            return Err(Error::Unavailable { code: "overloaded", retry_after: RETRY_AFTER });
        }
        for holder in &holders {
            *held.entry(holder.clone()).or_default() += 1;
        }
        Ok(Place { held: Arc::clone(&self.held), holders })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for holder in &self.holders {
            if let Some(count) = held.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    held.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let places = Places::new(Most { on_node: 3, of_tenant: 2, of_caller: 1, code: "too_many_waits" });
        let (one, two, three) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let take = |tenant, caller: &str| places.take_for(tenant, caller.to_owned());
        let first = take(one, "a").unwrap();
        assert!(matches!(take(one, "a"), Err(Error::RateLimited { code: "too_many_waits", .. })));
        let _second = take(one, "b").unwrap();
        assert!(matches!(take(one, "c"), Err(Error::RateLimited { .. })), "the tenant's bound");
        let _third = take(two, "a").unwrap();
        assert!(matches!(take(three, "a"), Err(Error::Unavailable { .. })), "the node's bound");
        drop(first);
        let _again = take(one, "a").unwrap();
        assert_eq!(places.taken(), 3);
    }
}
