//! How much one hook takes, and how much of what it refuses is logged: who knows a URL and no secret must not fill
//! the database. Each node counts for itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::future::Cache;
use uuid::Uuid;

use crate::error::{Error, Result};

/// Deliveries of one hook in a minute.
const DELIVERIES: NonZeroU32 = NonZeroU32::new(600).expect("more than none");
/// Refused ones of them that are logged.
const LOGGED: NonZeroU32 = NonZeroU32::new(60).expect("more than none");
const MOST_HOOKS: u64 = 100_000;
/// Longer than a bucket takes to fill up again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

struct Buckets {
    deliveries: DefaultDirectRateLimiter,
    logged: DefaultDirectRateLimiter,
}

#[derive(Clone)]
pub struct HookRates(Cache<Uuid, Arc<Buckets>>);

impl Default for HookRates {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_HOOKS).time_to_idle(FORGOTTEN_AFTER).build())
    }
}

impl HookRates {
    async fn of(&self, hook: Uuid) -> Arc<Buckets> {
        let full = async {
            Arc::new(Buckets {
                deliveries: RateLimiter::direct(Quota::per_minute(DELIVERIES)),
                logged: RateLimiter::direct(Quota::per_minute(LOGGED)),
            })
        };
        self.0.get_with(hook, full).await
    }

    /// # Errors
    /// 429 `hook_rate_limit`.
    pub(super) async fn admit(&self, hook: Uuid) -> Result<()> {
        self.of(hook).await.deliveries.check().map_err(|until| Error::RateLimited {
            code: "hook_rate_limit",
            retry_after: until.wait_time_from(DefaultClock::default().now()),
        })
    }

    /// Whether one more refusal is logged.
    pub(super) async fn may_log(&self, hook: Uuid) -> bool {
        self.of(hook).await.logged.check().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bucket_empties_for_its_own_hook_only() {
        let rates = HookRates::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..DELIVERIES.get() {
            rates.admit(one).await.unwrap();
        }
        assert!(matches!(rates.admit(one).await, Err(Error::RateLimited { code: "hook_rate_limit", .. })));
        rates.admit(other).await.unwrap();
        let mut logged = 0;
        for _ in 0..1_000 {
            logged += u32::from(rates.may_log(one).await);
        }
        assert_eq!(logged, LOGGED.get());
    }
}
