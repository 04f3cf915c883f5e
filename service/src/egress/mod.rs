//! The only door to the network: no other module may use an HTTP client.
//!
//! Invariant: a connection is opened only to an address that passed the check of `address.rs`, or
//! that the operator named, and the check and the connection use the same look-up. Every exchange
//! is bounded in time, bytes, redirects and concurrency; no URL or credential reaches a log.

mod address;
mod body;
mod breaker;
mod client;
mod error;
mod exchange;
#[cfg(test)]
pub(crate) mod hostile;
mod message;
mod redirect;
mod resolver;
mod target;
mod txt;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use reqwest::Method;
use tokio::time::Instant;
pub use url::Url;

pub use self::error::EgressError;
pub use self::message::{Request, Response, StreamResponse};

use self::breaker::Hosts;
use self::client::Clients;
use self::resolver::{Lookup, SystemLookup};
use self::target::Targets;
use crate::clock::Clock;
use crate::error::Error;
use crate::ids::Ids;

/// What the door lets through, and how much of it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Hosts that may be private: `host`, `host:port` or an address, matched exactly (case aside).
    /// A listed name may resolve to a private address, never to a cloud metadata service: that
    /// address has to be listed itself.
    pub allow_private_hosts: Vec<String>,
    /// Look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Redirects followed before giving up.
    pub max_redirects: u8,
    /// Exchanges with one host and port at a time; more are refused as busy.
    pub per_host_concurrency: usize,
    /// Transport failures in a row after which a host is left alone.
    pub breaker_threshold: u32,
    /// How long it is left alone before one request may try again.
    pub breaker_cooldown: Duration,
    /// Who is asked for TXT records; those of the system when empty.
    pub name_servers: Vec<SocketAddr>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_private_hosts: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            max_redirects: 5,
            per_host_concurrency: 256,
            breaker_threshold: 5,
            breaker_cooldown: Duration::from_secs(10),
            name_servers: Vec::new(),
        }
    }
}

impl Policy {
    /// As [`Egress::check_url`], before there is a door. A list that cannot be read opens nothing here;
    /// [`Egress::new`] refuses it.
    pub fn check_url(&self, url: &Url) -> Result<(), EgressError> {
        let targets = Targets::new(&self.allow_private_hosts).or_else(|_| Targets::new(&[]));
        targets.map_or(Ok(()), |targets| targets.check(url).map(drop))
    }
}

/// A handle on the door; clones share connections, bulkheads and breakers.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    policy: Policy,
    targets: Targets,
    clients: Clients,
    hosts: Hosts,
}

impl Egress {
    /// Errors: an allow-list entry that is no host, or TLS that cannot be set up.
    pub fn new(policy: Policy, clock: Clock) -> Result<Self, Error> {
        Self::with_lookup(policy, clock, Arc::new(SystemLookup))
    }

    /// As [`Egress::new`], with another source of addresses than the system's resolver.
    pub(crate) fn with_lookup(policy: Policy, clock: Clock, lookup: Arc<dyn Lookup>) -> Result<Self, Error> {
        let targets = Targets::new(&policy.allow_private_hosts)?;
        let clients = Clients::new(&policy, &targets, &lookup)?;
        let hosts = Hosts::new(&policy, clock);
        Ok(Self(Arc::new(Inner { policy, targets, clients, hosts })))
    }

    /// Sends and reads the whole answer. `timeout` covers everything, `max_bytes` the body.
    pub async fn send(&self, request: Request) -> Result<Response, EgressError> {
        let (deadline, limit) = (after(request.timeout), request.max_bytes);
        counted(async {
            let answer = self.0.exchange(request, deadline).await?;
            let (status, headers, url) = (answer.status(), answer.headers(), answer.url.clone());
            let body = body::collect(answer, limit, deadline).await?;
            Ok(Response { status, headers, body, url })
        })
        .await
    }

    /// Sends and hands the body over as it arrives. `timeout` is the time to the response head and
    /// then the longest silence between chunks; `max_bytes` is the cap of the whole stream.
    pub async fn stream(&self, request: Request) -> Result<StreamResponse, EgressError> {
        let (silence, limit) = (request.timeout, request.max_bytes);
        counted(async {
            let answer = self.0.exchange(request, after(silence)).await?;
            let (status, headers) = (answer.status(), answer.headers());
            Ok(StreamResponse { status, headers, body: body::stream(answer, limit, silence) })
        })
        .await
    }

    /// The TXT records of a name; none where there is no such name.
    pub async fn txt(&self, name: &str, ids: &Ids) -> Result<Vec<String>, EgressError> {
        let named = &self.0.policy.name_servers;
        let servers = if named.is_empty() { txt::system_servers() } else { named.clone() };
        counted(txt::look_up(&servers, name, ids)).await
    }

    /// What can be said of a URL without the network, for when one is saved: scheme, user
    /// information, port, and hosts that are blocked addresses. Names are checked at each call.
    pub fn check_url(&self, url: &Url) -> Result<(), EgressError> {
        self.0.targets.check(url).map(drop)
    }

    /// Whether the operator named the URL's host: what leads there may go without TLS.
    pub fn is_listed(&self, url: &Url) -> bool {
        self.0.targets.check(url).is_ok_and(|target| target.listed)
    }
}

/// A deadline, bounded so that no caller's duration can overflow the clock.
fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(Duration::from_secs(365 * 24 * 3600))
}

async fn counted<T>(work: impl Future<Output = Result<T, EgressError>>) -> Result<T, EgressError> {
    let result = work.await;
    let outcome = result.as_ref().err().map_or("ok", EgressError::code);
    metrics::counter!("egress_requests_total", "outcome" => outcome).increment(1);
    result
}
