//! Secrets by reference: a configuration names the integration that holds one, the caller's source
//! resolves it.

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use crate::error::Error;

/// A secret and the only places it may be sent to.
pub struct BoundSecret {
    pub value: SecretString,
    /// `host` (https on port 443), `host:port` (https) or `http://host:port`, exact, in lower case.
    pub hosts: Vec<String>,
}

impl BoundSecret {
    pub fn may_go_to(&self, url: &Url) -> bool {
        let Some(place) = place(url) else { return false };
        let usual = url.scheme() == "https" && url.port().is_none();
        self.hosts.iter().any(|bound| *bound == place || (usual && Some(bound.as_str()) == url.host_str()))
    }
}

/// Where a URL leads: `host:port` over https, `http://host:port` in the clear.
pub fn place(url: &Url) -> Option<String> {
    let authority = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
    match url.scheme() {
        "https" => Some(authority),
        "http" => Some(format!("http://{authority}")),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_host_means_https_on_its_port_and_the_rest_is_named() {
        let goes = |bound: &str, url: &str| {
            let secret = BoundSecret { value: "s".into(), hosts: vec![bound.to_owned()] };
            secret.may_go_to(&Url::parse(url).unwrap())
        };
        for (bound, url) in [
            ("a.example", "https://a.example/x"),
            ("a.example", "https://A.example:443/"),
            ("a.example:443", "https://a.example/"),
            ("a.example:8443", "https://a.example:8443/"),
            ("http://a.example:80", "http://a.example/"),
            ("http://a.example:8080", "http://a.example:8080/"),
            ("[::1]", "https://[::1]/"),
        ] {
            assert!(goes(bound, url), "{bound} {url}");
        }
        for (bound, url) in [
            ("a.example", "http://a.example/"),
            ("a.example", "http://a.example:443/"),
            ("a.example", "https://a.example:8443/"),
            ("a.example:8080", "http://a.example:8080/"),
            ("http://a.example", "http://a.example:443/"),
            ("http://a.example:8080", "https://a.example:8080/"),
            ("a.example", "https://b.a.example/"),
        ] {
            assert!(!goes(bound, url), "{bound} {url}");
        }
    }
}
