//! Request rates: one bucket (GCRA) a caller, one a tenant by its plan, one an address for those without a credential, and a
//! stricter one an address for signing in. The number of buckets is bounded.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use service::ctx::Actor;
use service::error::Error;
use service::identity::plans::{Plan, Plans};
use uuid::Uuid;

use super::identify::Caller;
use super::refusals::Refusals;
use super::{Answer, Shared, boxed, refuse, request_info, routed_path};
use crate::error::seconds;
use crate::server::Options;

/// Buckets kept; new callers beyond them share one until old ones are forgotten.
pub(super) const MOST_BUCKETS: usize = 100_000;
/// How often buckets that are full again are forgotten.
pub const UPKEEP: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);

/// `requests` in any `window`, with all of them at once as the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub requests: NonZeroU32,
    pub window: Duration,
}

/// `600/60s`.
impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(requests, window)| {
            let window: u64 = window.trim().strip_suffix('s')?.parse().ok()?;
            let requests = requests.trim().parse().ok()?;
            (1..=86_400).contains(&window).then(|| Self { requests, window: Duration::from_secs(window) })
        });
        parsed
            .ok_or_else(|| format!("`{text}` is not a rate: write `600/60s` for 600 requests in 60 seconds"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Caller { tenant: Uuid, id: Uuid },
    Tenant(Uuid),
    Address(IpAddr),
    Shared,
}

type Buckets = RateLimiter<Key, DefaultKeyedStateStore<Key>, DefaultClock, StateInformationMiddleware>;

struct Limiter {
    name: &'static str,
    rate: Rate,
    buckets: Buckets,
    full: AtomicBool,
}

/// How a request stands against its limit.
struct Standing {
    name: &'static str,
    rate: Rate,
    remaining: u32,
    /// Until one more request is allowed, when none is; else until the bucket is full.
    reset: Duration,
    allowed: bool,
}

impl Limiter {
    fn new(name: &'static str, rate: Rate) -> Option<Self> {
        let quota = Quota::with_period(rate.window / rate.requests.get())?.allow_burst(rate.requests);
        let buckets = RateLimiter::dashmap(quota).with_middleware();
        Some(Self { name, rate, buckets, full: AtomicBool::new(false) })
    }

    fn check(&self, key: Key) -> Standing {
        let key = if self.full.load(Ordering::Relaxed) { Key::Shared } else { key };
        let (remaining, reset, allowed) = match self.buckets.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = self.rate.requests.get().saturating_sub(remaining);
                (
                    remaining,
                    self.rate.window.mul_f64(f64::from(used) / f64::from(self.rate.requests.get())),
                    true,
                )
            }
            Err(until) => (0, until.wait_time_from(DefaultClock::default().now()), false),
        };
        Standing { name: self.name, rate: self.rate, remaining, reset, allowed }
    }

    fn tidy(&self) {
        self.buckets.retain_recent();
        self.full.store(self.buckets.len() >= MOST_BUCKETS, Ordering::Relaxed);
    }
}

impl Standing {
    /// draft-ietf-httpapi-ratelimit-headers-11: each limit is one more member of the list.
    fn write(&self, headers: &mut HeaderMap) {
        let policy = format!("\"{}\";q={};w={}", self.name, self.rate.requests, self.rate.window.as_secs());
        let state = format!("\"{}\";r={};t={}", self.name, self.remaining, self.reset.as_secs_f64().ceil());
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
    }
}

/// The limits of a node; none when the operator turned them off.
pub struct RateLimits {
    callers: Option<Limiter>,
    /// By plan; off where those of callers are.
    tenants: Vec<(Plan, Limiter)>,
    sign_in: Option<Limiter>,
    pub(super) refusals: Option<Refusals>,
}

impl RateLimits {
    pub fn new(options: &Options, plans: &Plans) -> Self {
        let of_plan = |plan| {
            let requests = NonZeroU32::new(plans.of(plan).requests_per_minute)?;
            Some((plan, Limiter::new("tenant", Rate { requests, window: MINUTE })?))
        };
        let tenants = options.rate_limit.map(|_| Plans::ALL.into_iter().filter_map(of_plan).collect());
        Self {
            tenants: tenants.unwrap_or_default(),
            callers: options.rate_limit.and_then(|rate| Limiter::new("requests", rate)),
            sign_in: options.sign_in_limit.and_then(|rate| Limiter::new("sign-in", rate)),
            refusals: options.sign_in_limit.map(|_| Refusals::default()),
        }
    }

    /// How the tenant of a known caller stands.
    fn of_tenant(&self, request: &ServiceRequest) -> Option<Standing> {
        let extensions = request.extensions();
        let Some(Caller::Known(principal)) = extensions.get::<Caller>() else { return None };
        let (_, limiter) = self.tenants.iter().find(|(plan, _)| *plan == principal.plan)?;
        Some(limiter.check(Key::Tenant(principal.tenant)))
    }

    /// Forgets buckets that are full again, and refused credentials; called every [`UPKEEP`].
    pub fn tidy(&self) {
        let tenants = self.tenants.iter().map(|(_, limiter)| limiter);
        self.callers.iter().chain(&self.sign_in).chain(tenants).for_each(Limiter::tidy);
        self.refusals.iter().for_each(Refusals::forget);
    }
}

pub async fn limit(gate: Shared, request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
    let path = routed_path(request.request());
    let is_sign_in = path.starts_with("/v1/auth/");
    let limiter = if is_sign_in { &gate.limits.sign_in } else { &gate.limits.callers };
    let probe = matches!(path, "/livez" | "/readyz" | "/metrics");
    let Some(limiter) = limiter.as_ref().filter(|_| !probe) else {
        return next.call(request).await.map(boxed);
    };
    let standing = limiter.check(key(&request, is_sign_in));
    let of_tenant =
        if is_sign_in { None } else { gate.limits.of_tenant(&request).filter(|_| standing.allowed) };
    let code = match &of_tenant {
        Some(tenant) if !tenant.allowed => Some("tenant_rate_limit"),
        _ if standing.allowed => None,
        _ if is_sign_in => Some("auth_rate_limit"),
        _ => Some("rate_limit"),
    };
    let mut response = match code {
        None => next.call(request).await.map(boxed)?,
        Some(code) => {
            let full = of_tenant.as_ref().unwrap_or(&standing);
            let retry_after = Duration::from_secs(seconds(full.reset));
            refuse(request, Error::RateLimited { code, retry_after }.into())?
        }
    };
    standing.write(response.headers_mut());
    of_tenant.inspect(|tenant| tenant.write(response.headers_mut()));
    Ok(response)
}

fn key(request: &ServiceRequest, is_sign_in: bool) -> Key {
    if !is_sign_in && let Some(Caller::Known(principal)) = request.extensions().get::<Caller>() {
        let id = match principal.actor {
            Actor::User { id } | Actor::ApiKey { id, .. } => id,
            // Making tokens makes no more requests.
            Actor::ClientToken { user, key, .. } => key.unwrap_or(user),
            Actor::Automation { id, .. } => id,
            Actor::System => Uuid::nil(),
        };
        return Key::Caller { tenant: principal.tenant, id };
    }
    request_info(request.request()).ip.map_or(Key::Shared, |ip| Key::Address(block(ip)))
}

/// One household has a /64 of IPv6 addresses.
pub(super) fn block(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_or_refused() {
        let rate: Rate = "600/60s".parse().unwrap();
        assert_eq!((rate.requests.get(), rate.window.as_secs()), (600, 60));
        for bad in ["", "600", "0/60s", "600/0s", "600/60", "-1/60s", "600/60m"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bucket_empties_for_its_own_key_only() {
        let limiter = Limiter::new("requests", "2/3600s".parse().unwrap()).unwrap();
        let (a, b) = (Key::Address([1, 1, 1, 1].into()), Key::Address([2, 2, 2, 2].into()));
        assert_eq!(limiter.check(a).remaining, 1);
        assert!(limiter.check(a).allowed);
        let refused = limiter.check(a);
        assert!(!refused.allowed && refused.reset > Duration::from_secs(1000));
        assert!(limiter.check(b).allowed);
        let mut headers = HeaderMap::new();
        refused.write(&mut headers);
        assert_eq!(headers.get("ratelimit-policy").unwrap(), "\"requests\";q=2;w=3600");
    }

    #[test]
    fn ipv6_is_limited_by_network() {
        let block = |text: &str| block(text.parse().unwrap());
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:1"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
    }
}
