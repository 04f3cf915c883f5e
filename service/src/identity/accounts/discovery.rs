//! What providers say of themselves (OpenID Connect Discovery 1.0) and their keys (RFC 7517): bounded in
//! size and time, and kept for an hour. A token with an unknown key has the keys looked up again, once a
//! minute at most: so keys rotate, and nobody can have us ask a provider at will.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::Provider;
use super::providers::OidcSettings;
use crate::core::Core;
use crate::egress::{Method, Request, Response};
use crate::error::{Error, Result};

const KEPT: TimeDelta = TimeDelta::hours(1);
const LOOKED_AGAIN: TimeDelta = TimeDelta::minutes(1);
const LARGEST: usize = 256 << 10;
const MOST_KEYS: usize = 100;

#[derive(Deserialize)]
pub struct Metadata {
    issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    jwks_uri: Url,
    pub userinfo_endpoint: Option<Url>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, DateTime<Utc>)>,
    keys: Option<(Arc<Vec<Jwk>>, DateTime<Utc>)>,
    looked_again_at: Option<DateTime<Utc>>,
}

/// One entry a configured provider.
pub struct Directory(HashMap<String, Mutex<Known>>);

impl Directory {
    pub fn new(settings: &OidcSettings) -> Self {
        Self(settings.providers.iter().map(|provider| (provider.id.clone(), Mutex::default())).collect())
    }

    fn known(&self, provider: &Provider) -> Result<&Mutex<Known>> {
        self.0.get(&provider.id).ok_or_else(|| Error::not_found("provider"))
    }

    /// # Errors
    /// 502 `upstream_failed`.
    pub async fn metadata(&self, core: &Core, provider: &Provider) -> Result<Arc<Metadata>> {
        let mut known = self.known(provider)?.lock().await;
        known.metadata(core, provider).await
    }

    /// The keys that `fits` chooses from; looked up again when it chooses none.
    ///
    /// # Errors
    /// 502 `upstream_failed`.
    pub async fn key(
        &self,
        core: &Core,
        provider: &Provider,
        fits: impl Fn(&[Jwk]) -> Option<Jwk>,
    ) -> Result<Option<Jwk>> {
        let mut known = self.known(provider)?.lock().await;
        let now = core.clock.now();
        if let Some((keys, since)) = &known.keys
            && now - *since < KEPT
        {
            let found = fits(keys);
            let just_looked = known.looked_again_at.is_some_and(|at| now - at < LOOKED_AGAIN);
            if found.is_some() || just_looked {
                return Ok(found);
            }
            known.looked_again_at = Some(now);
        }
        let metadata = known.metadata(core, provider).await?;
        let keys = Arc::new(keys(core, provider, &metadata.jwks_uri).await?);
        known.keys = Some((keys.clone(), now));
        Ok(fits(&keys))
    }
}

impl Known {
    async fn metadata(&mut self, core: &Core, provider: &Provider) -> Result<Arc<Metadata>> {
        let now = core.clock.now();
        if let Some((metadata, since)) = &self.metadata
            && now - *since < KEPT
        {
            return Ok(metadata.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", provider.issuer.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(Error::internal)?;
        let metadata: Metadata = get(core, provider, url).await?;
        metadata.check(provider)?;
        let metadata = Arc::new(metadata);
        self.metadata = Some((metadata.clone(), now));
        Ok(metadata)
    }
}

impl Metadata {
    fn check(&self, provider: &Provider) -> Result<()> {
        if self.issuer != provider.issuer {
            return Err(unusable(provider, "it calls itself by another issuer"));
        }
        let issuer = Url::parse(&provider.issuer).map_err(Error::internal)?;
        let is_safe = |url: &Url| url.scheme() == "https" || url.origin() == issuer.origin();
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        if endpoints.into_iter().chain(&self.userinfo_endpoint).all(is_safe) {
            return Ok(());
        }
        Err(unusable(provider, "one of its endpoints is not https"))
    }
}

async fn keys(core: &Core, provider: &Provider, url: &Url) -> Result<Vec<Jwk>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = get(core, provider, url.clone()).await?;
    // Keys of kinds that we do not know are no fault of the set.
    Ok(keys.into_iter().take(MOST_KEYS).filter_map(|key| serde_json::from_value(key).ok()).collect())
}

async fn get<T: DeserializeOwned>(core: &Core, provider: &Provider, url: Url) -> Result<T> {
    let request = Request::new(Method::GET, url);
    let answer = send(core, provider, request).await?;
    if answer.status != 200 {
        return Err(unusable(provider, "it does not describe itself"));
    }
    serde_json::from_slice(&answer.body).map_err(|_| unusable(provider, "its description cannot be read"))
}

/// One bounded exchange with a provider.
///
/// # Errors
/// 502 `upstream_failed`.
pub async fn send(core: &Core, provider: &Provider, request: Request) -> Result<Response> {
    let mut request = Request { timeout: core.config.oidc.timeout, max_bytes: LARGEST, ..request };
    request.headers.push(("accept".to_owned(), "application/json".to_owned()));
    core.egress.send(request).await.map_err(|error| {
        tracing::warn!(provider = provider.id, code = error.code(), "an OpenID provider did not answer");
        unusable(provider, error.code())
    })
}

pub fn unusable(provider: &Provider, why: &str) -> Error {
    let detail = format!("{} cannot be used now: {why}.", provider.name);
    Error::Upstream { code: "upstream_failed", detail }
}
