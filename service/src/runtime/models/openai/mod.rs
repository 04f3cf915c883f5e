//! Chat completions as OpenAI defined them and many servers speak them.
//!
//! What goes out is strictly the protocol; what comes in is read with patience. One attempt a call:
//! retrying is the loop's decision. The credential is in no error.

mod assembly;
mod decoder;
mod errors;
mod request;
mod usage;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

pub use self::request::Dialect;
use super::{DeltaSink, ModelError, ModelErrorKind, ModelProvider, ModelReply, ModelRequest};
use crate::clock::Clock;
use crate::egress::{Egress, Method, Request, StreamResponse, Url};

/// Bytes of one stream. A fragment of a few characters costs some 300 bytes on the wire.
const MAX_STREAM: usize = 64 << 20;
const MAX_ERROR_BODY: usize = 64 << 10;
const MAX_MODELS: usize = 1_000;
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

pub struct OpenAiCompatible {
    egress: Egress,
    clock: Clock,
    base_url: Url,
    api_key: Option<SecretString>,
    dialect: Dialect,
}

impl OpenAiCompatible {
    /// `base_url` is what comes before `/chat/completions`, such as `https://api.openai.com/v1`; its
    /// query is kept. The dialect follows from the host, see [`Self::dialect`].
    pub fn new(egress: Egress, clock: Clock, base_url: Url, api_key: Option<SecretString>) -> Self {
        let host = base_url.host_str().unwrap_or_default();
        let owner = host == "api.openai.com" || host.ends_with(".openai.azure.com");
        let dialect = if owner { Dialect::OpenAi } else { Dialect::Compatible };
        Self { egress, clock, base_url, api_key, dialect }
    }

    /// For a proxy in front of OpenAI, which the host does not give away.
    pub fn dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = Request::new(method, url);
        if let Some(key) = &self.api_key {
            let bearer = SecretString::from(format!("Bearer {}", key.expose_secret().trim()));
            request.secret_headers.push(("authorization".to_owned(), bearer));
        }
        request
    }

    async fn attempt(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        let mut http = self.request(Method::POST, &["chat", "completions"]);
        http.headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "text/event-stream".to_owned()),
            ("idempotency-key".to_owned(), request.idempotency_key.clone()),
        ];
        http.body = Some(request::body(request, self.dialect).to_string().into());
        http.timeout = request.timeout;
        http.max_bytes = MAX_STREAM;
        let mut answer = self.egress.stream(http).await?;
        if !(200..300).contains(&answer.status) {
            let body = error_body(&mut answer).await;
            return Err(errors::of_status(answer.status, &answer.headers, &body, self.clock.now()));
        }
        let mut decoder = decoder::Decoder::new();
        while let Some(bytes) = answer.body.next().await {
            match bytes {
                Ok(bytes) if decoder.push(&bytes, deltas)? => break,
                Ok(_) => {}
                // All was said and paid for; only the tokens may have to be estimated.
                Err(_) if decoder.is_complete() => break,
                Err(error) => return Err(error.into()),
            }
        }
        decoder.finish(request, request_id(&answer.headers), deltas)
    }

    async fn models(&self) -> Result<Vec<String>, ModelError> {
        let mut http = self.request(Method::GET, &["models"]);
        http.timeout = LIST_TIMEOUT;
        let answer = self.egress.send(http).await?;
        if answer.status == 404 {
            let message = "The provider has no list of models at this base URL (404).";
            return Err(ModelError::new(ModelErrorKind::InvalidRequest, message));
        }
        if !(200..300).contains(&answer.status) {
            return Err(errors::of_status(answer.status, &answer.headers, &answer.body, self.clock.now()));
        }
        let listed = serde_json::from_slice::<Value>(&answer.body).ok();
        let listed = listed.as_ref().and_then(|value| value.get("data").unwrap_or(value).as_array());
        let listed = listed.ok_or_else(|| assembly::protocol("no list of models"))?;
        let ids: BTreeSet<String> = listed
            .iter()
            .filter_map(|model| model.get("id")?.as_str())
            .map(str::to_owned)
            .take(MAX_MODELS)
            .collect();
        Ok(ids.into_iter().collect())
    }
}

#[async_trait]
impl ModelProvider for OpenAiCompatible {
    async fn complete(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        let result = self.attempt(request, deltas).await;
        result.map_err(|error| errors::sanitize(error, self.api_key.as_ref()))
    }

    async fn list_models(&self) -> Result<Vec<String>, ModelError> {
        let result = self.models().await;
        result.map_err(|error| errors::sanitize(error, self.api_key.as_ref()))
    }
}

/// The beginning of a refusal's body; whatever goes wrong while reading it matters less than the status.
async fn error_body(answer: &mut StreamResponse) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(Ok(bytes)) = answer.body.next().await {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ERROR_BODY {
            break;
        }
    }
    body
}

fn request_id(headers: &[(String, String)]) -> Option<String> {
    let names = ["x-request-id", "request-id"];
    let found = headers.iter().find(|(name, _)| names.iter().any(|known| name.eq_ignore_ascii_case(known)));
    found.map(|(_, value)| value.chars().take(200).collect())
}

#[cfg(test)]
mod tests;
