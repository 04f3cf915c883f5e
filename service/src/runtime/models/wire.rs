//! What providers over HTTP have in common: one streamed attempt at a turn, and the list of models.
//!
//! The credential is in no error, whatever the provider quotes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::decoder::{Assemble, Decoder};
use super::refusals::{self, protocol};
use super::{DeltaSink, ModelError, ModelErrorKind, ModelReply, ModelRequest};
use crate::clock::Clock;
use crate::egress::{Egress, Method, Request, StreamResponse, Url};

/// Bytes of one stream. A fragment of a few characters costs some 300 bytes on the wire.
const MAX_STREAM: usize = 64 << 20;
const MAX_ERROR_BODY: usize = 64 << 10;
const MAX_MODELS: usize = 1_000;
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a provider is and how it knows us.
pub(super) struct Wire {
    pub egress: Egress,
    pub clock: Clock,
    /// What comes before the paths of the protocol; its query is kept.
    pub base_url: Url,
    pub api_key: Option<SecretString>,
    /// The header that the key is sent in, and what stands before it there.
    pub scheme: (&'static str, &'static str),
    /// What every request has besides.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Wire {
    /// One attempt at one turn.
    pub async fn turn<A: Assemble>(
        &self,
        path: &[&str],
        request: &ModelRequest,
        body: &Value,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        let result = self.streamed::<A>(path, request, body, deltas).await;
        result.map_err(|error| refusals::sanitize(error, self.api_key.as_ref()))
    }

    /// The ids at `GET /models`, sorted.
    pub async fn models(&self, query: &[(&str, &str)]) -> Result<Vec<String>, ModelError> {
        let result = self.listed(query).await;
        result.map_err(|error| refusals::sanitize(error, self.api_key.as_ref()))
    }

    async fn streamed<A: Assemble>(
        &self,
        path: &[&str],
        request: &ModelRequest,
        body: &Value,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        let mut http = self.request(Method::POST, path);
        for (name, value) in [
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("idempotency-key", request.idempotency_key.as_str()),
        ] {
            http.headers.push((name.to_owned(), value.to_owned()));
        }
        http.body = Some(body.to_string().into());
        http.timeout = request.timeout;
        http.max_bytes = MAX_STREAM;
        let mut answer = self.egress.stream(http).await?;
        if !(200..300).contains(&answer.status) {
            let body = error_body(&mut answer).await;
            return Err(refusals::of_status(answer.status, &answer.headers, &body, self.clock.now()));
        }
        let mut decoder = Decoder::<A>::new();
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

    async fn listed(&self, query: &[(&str, &str)]) -> Result<Vec<String>, ModelError> {
        let mut http = self.request(Method::GET, &["models"]);
        if !query.is_empty() {
            http.url.query_pairs_mut().extend_pairs(query);
        }
        http.timeout = LIST_TIMEOUT;
        let answer = self.egress.send(http).await?;
        if answer.status == 404 {
            let message = "The provider has no list of models at this base URL (404).";
            return Err(ModelError::new(ModelErrorKind::InvalidRequest, message));
        }
        if !(200..300).contains(&answer.status) {
            return Err(refusals::of_status(answer.status, &answer.headers, &answer.body, self.clock.now()));
        }
        let listed = serde_json::from_slice::<Value>(&answer.body).ok();
        let listed = listed.as_ref().and_then(|value| value.get("data").unwrap_or(value).as_array());
        let listed = listed.ok_or_else(|| protocol("no list of models"))?;
        let ids: BTreeSet<String> = listed
            .iter()
            .filter_map(|model| model.get("id")?.as_str())
            .map(str::to_owned)
            .take(MAX_MODELS)
            .collect();
        Ok(ids.into_iter().collect())
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = Request::new(method, url);
        request.headers =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if let Some(key) = &self.api_key {
            let (header, before) = self.scheme;
            let value = SecretString::from(format!("{before}{}", key.expose_secret().trim()));
            request.secret_headers.push((header.to_owned(), value));
        }
        request
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
