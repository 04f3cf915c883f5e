//! The Messages API as Anthropic defined it, and gateways that speak it.
//!
//! What goes out is strictly the protocol; what comes in is read with patience. One attempt a call:
//! retrying is the loop's decision.

mod assembly;
mod request;

use async_trait::async_trait;
use secrecy::SecretString;

use self::assembly::Assembly;
use super::wire::Wire;
use super::{DeltaSink, ModelError, ModelProvider, ModelReply, ModelRequest};
use crate::clock::Clock;
use crate::egress::{Egress, Url};

/// The revision of the protocol that we speak.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
/// As many as one page of `GET /models` may have.
const PAGE: (&str, &str) = ("limit", "1000");

pub struct Anthropic(Wire);

impl Anthropic {
    /// `base_url` is what comes before `/messages`, such as `https://api.anthropic.com/v1`.
    pub fn new(egress: Egress, clock: Clock, base_url: Url, api_key: Option<SecretString>) -> Self {
        let scheme = ("x-api-key", "");
        Self(Wire { egress, clock, base_url, api_key, scheme, headers: &[VERSION] })
    }
}

#[async_trait]
impl ModelProvider for Anthropic {
    async fn complete(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        self.0.turn::<Assembly>(&["messages"], request, &request::body(request), deltas).await
    }

    async fn list_models(&self) -> Result<Vec<String>, ModelError> {
        self.0.models(&[PAGE]).await
    }
}

#[cfg(test)]
mod tests;
