//! The HTTP clients. There are two, because a resolver sees names without ports: one that
//! connects to public addresses only, and one for the targets that the operator listed.

use std::sync::Arc;
use std::time::Duration;

use reqwest::tls::Certificate;
use reqwest::{Client, ClientBuilder, redirect};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::Policy;
use super::resolver::{Checked, Lookup};
use super::target::Targets;
use crate::error::Error;

/// Fields of a response head, and its size in HTTP/2.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: u32 = 64 << 10;

pub(super) struct Clients {
    public: Client,
    listed: Client,
}

impl Clients {
    pub fn new(policy: &Policy, targets: &Targets, lookup: &Arc<dyn Lookup>) -> Result<Self, Error> {
        if CryptoProvider::get_default().is_none() {
            // Losing the race against another installer is as good.
            drop(aws_lc_rs::default_provider().install_default());
        }
        let with = |listed| client(policy, Checked { lookup: Arc::clone(lookup), listed });
        Ok(Self { public: with(None)?, listed: with(Some(targets.clone()))? })
    }

    pub fn pick(&self, listed: bool) -> &Client {
        if listed { &self.listed } else { &self.public }
    }
}

/// Trusts the system's certificate authorities, or Mozilla's where the system has none, as in a
/// minimal container.
fn client(policy: &Policy, resolver: Checked) -> Result<Client, Error> {
    builder(policy, resolver.clone()).build().or_else(|_| {
        tracing::warn!("no system certificate authorities: using the built-in ones");
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root));
        let roots = roots.collect::<Result<Vec<_>, _>>().map_err(Error::internal)?;
        builder(policy, resolver).tls_certs_only(roots).build().map_err(Error::internal)
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place that makes HTTP clients")]
fn builder(policy: &Policy, resolver: Checked) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("mission-control/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(resolver)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(policy.connect_timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(policy.per_host_concurrency)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .tcp_nodelay(true)
}
