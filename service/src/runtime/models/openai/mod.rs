//! Chat completions as OpenAI defined them and many servers speak them.
//!
//! What goes out is strictly the protocol; what comes in is read with patience. One attempt a call:
//! retrying is the loop's decision.

mod assembly;
mod request;
mod usage;

use async_trait::async_trait;
use secrecy::SecretString;

use self::assembly::Assembly;
pub use self::request::Dialect;
use super::wire::Wire;
use super::{DeltaSink, ModelError, ModelProvider, ModelReply, ModelRequest};
use crate::clock::Clock;
use crate::egress::{Egress, Url};

pub struct OpenAiCompatible {
    wire: Wire,
    dialect: Dialect,
}

impl OpenAiCompatible {
    /// `base_url` is what comes before `/chat/completions`, such as `https://api.openai.com/v1`. The
    /// dialect follows from its host.
    pub fn new(egress: Egress, clock: Clock, base_url: Url, api_key: Option<SecretString>) -> Self {
        let host = base_url.host_str().unwrap_or_default();
        let owner = host == "api.openai.com" || host.ends_with(".openai.azure.com");
        let dialect = if owner { Dialect::OpenAi } else { Dialect::Compatible };
        let scheme = ("authorization", "Bearer ");
        Self { wire: Wire { egress, clock, base_url, api_key, scheme, headers: &[] }, dialect }
    }
}

#[async_trait]
impl ModelProvider for OpenAiCompatible {
    async fn complete(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        let body = request::body(request, self.dialect);
        self.wire.turn::<Assembly>(&["chat", "completions"], request, &body, deltas).await
    }

    async fn list_models(&self) -> Result<Vec<String>, ModelError> {
        self.wire.models(&[]).await
    }
}

#[cfg(test)]
mod tests;
