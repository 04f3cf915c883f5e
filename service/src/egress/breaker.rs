//! One bulkhead and one circuit breaker a host and port, shared by all tenants. The map is bounded:
//! a host that falls out of it starts afresh.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Policy;
use super::error::EgressError;
use super::target::Target;
use crate::clock::Clock;

const MAX_HOSTS: u64 = 10_000;
const FORGET_AFTER: Duration = Duration::from_secs(600);

pub(super) struct Hosts {
    clock: Clock,
    concurrency: usize,
    threshold: u32,
    cooldown: Duration,
    by_authority: Cache<String, Arc<Host>>,
}

struct Host {
    permits: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    open_until: DateTime<Utc>,
}

/// A place in a host's bulkhead, free again when dropped.
pub(super) struct Pass {
    host: Arc<Host>,
    _permit: OwnedSemaphorePermit,
}

impl Hosts {
    pub fn new(policy: &Policy, clock: Clock) -> Self {
        Self {
            clock,
            concurrency: policy.per_host_concurrency,
            threshold: policy.breaker_threshold.max(1),
            cooldown: policy.breaker_cooldown,
            by_authority: Cache::builder().max_capacity(MAX_HOSTS).time_to_idle(FORGET_AFTER).build(),
        }
    }

    /// Errors: `Busy`, `CircuitOpen`. After the cooldown one caller is let through; the circuit
    /// stays open for the others until that one has reported success.
    pub async fn enter(&self, target: &Target) -> Result<Pass, EgressError> {
        let fresh = async {
            Arc::new(Host {
                permits: Arc::new(Semaphore::new(self.concurrency)),
                breaker: Mutex::new(Breaker::default()),
            })
        };
        let host = self.by_authority.get_with_by_ref(&target.authority, fresh).await;
        let Ok(permit) = Arc::clone(&host.permits).try_acquire_owned() else {
            return Err(EgressError::Busy { host: target.host.clone() });
        };
        {
            let mut breaker = host.breaker.lock().unwrap_or_else(PoisonError::into_inner);
            if breaker.failures >= self.threshold {
                if let Ok(wait) = (breaker.open_until - self.clock.now()).to_std()
                    && !wait.is_zero()
                {
                    let retry_after = wait.min(self.cooldown);
                    return Err(EgressError::CircuitOpen { host: target.host.clone(), retry_after });
                }
                breaker.open_until = self.clock.after(self.cooldown);
            }
        }
        Ok(Pass { host, _permit: permit })
    }

    /// Reports whether the host answered at all.
    pub fn report(&self, pass: &Pass, answered: bool) {
        let mut breaker = pass.host.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        breaker.failures = if answered { 0 } else { breaker.failures.saturating_add(1) };
        breaker.open_until = self.clock.after(self.cooldown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(policy: Policy) -> (Hosts, Clock) {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        (Hosts::new(&policy, clock.clone()), clock)
    }

    fn target(name: &str) -> Target {
        Target { authority: format!("{name}:443"), host: name.into(), listed: false }
    }

    #[tokio::test]
    async fn a_full_bulkhead_refuses_only_its_host() {
        let (hosts, _) = hosts(Policy { per_host_concurrency: 1, ..Policy::default() });
        let held = hosts.enter(&target("a")).await.ok();
        assert_eq!(hosts.enter(&target("a")).await.err(), Some(EgressError::Busy { host: "a".into() }));
        assert!(hosts.enter(&target("b")).await.is_ok());
        drop(held);
        assert!(hosts.enter(&target("a")).await.is_ok());
    }

    #[tokio::test]
    async fn the_circuit_opens_tries_once_and_closes() {
        let (hosts, clock) = hosts(Policy::default());
        let a = target("a");
        for _ in 0..5 {
            let pass = hosts.enter(&a).await.ok().unwrap();
            hosts.report(&pass, false);
        }
        clock.advance(Duration::from_secs(4));
        assert_eq!(
            hosts.enter(&a).await.err(),
            Some(EgressError::CircuitOpen { host: "a".into(), retry_after: Duration::from_secs(6) })
        );
        clock.advance(Duration::from_secs(6));
        let trial = hosts.enter(&a).await.ok().unwrap();
        assert!(matches!(hosts.enter(&a).await.err(), Some(EgressError::CircuitOpen { .. })));
        hosts.report(&trial, true);
        assert!(hosts.enter(&a).await.is_ok());
    }

    #[tokio::test]
    async fn a_success_between_failures_keeps_the_circuit_closed() {
        let (hosts, _) = hosts(Policy::default());
        for round in 0..20 {
            let pass = hosts.enter(&target("a")).await.ok().unwrap();
            hosts.report(&pass, round % 4 == 3);
        }
        assert!(hosts.enter(&target("a")).await.is_ok());
    }
}
