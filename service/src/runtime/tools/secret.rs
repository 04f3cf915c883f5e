//! Secrets by reference: a configuration names the integration that holds one, the caller's source
//! resolves it.

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use crate::error::Error;

/// A secret and the only hosts it may be sent to.
pub struct BoundSecret {
    pub value: SecretString,
    /// `host` (any port) or `host:port`, exact, in lower case.
    pub hosts: Vec<String>,
}

impl BoundSecret {
    pub fn may_go_to(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.hosts.iter().any(|bound| bound == host || Some(bound) == with_port.as_ref())
    }
}

/// Secrets of one tenant, by integration.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// `None` when there is no such integration, or it holds no credential.
    async fn resolve(&self, integration: Uuid) -> Result<Option<BoundSecret>, Error>;
}

/// A source without secrets.
pub struct NoSecrets;

#[async_trait]
impl SecretSource for NoSecrets {
    async fn resolve(&self, _integration: Uuid) -> Result<Option<BoundSecret>, Error> {
        Ok(None)
    }
}
