//! What a provider's refusal means. Its text is data: cleaned, capped, and without the credential.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::egress::EgressError;
use crate::runtime::models::ModelErrorKind::{
    ContentFiltered, ContextOverflow, InvalidRequest, Network, Overloaded, Protocol, QuotaExceeded,
    RateLimited, Timeout, Unauthorized,
};
use crate::runtime::models::{ModelError, ModelErrorKind};

const MAX_TEXT: usize = 500;
const MAX_WAIT: Duration = Duration::from_secs(600);

/// The error of an answer whose status is not 2xx.
pub(super) fn of_status(
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    now: DateTime<Utc>,
) -> ModelError {
    let payload = serde_json::from_slice(body).unwrap_or(Value::Null);
    let said = Said::read(&payload);
    let kind = kind_of_status(status);
    let kind = match kind {
        InvalidRequest | RateLimited | ContextOverflow if status != 404 => said.kind().unwrap_or(kind),
        _ => kind,
    };
    let summary = match (kind, status) {
        (_, 404) => "Model not found".to_owned(),
        (_, 300..=399) => "The provider redirects elsewhere".to_owned(),
        (Unauthorized, _) => "The provider refused the credential".to_owned(),
        (RateLimited, _) => "The provider limits the rate".to_owned(),
        (QuotaExceeded, _) => "The provider account has no quota left".to_owned(),
        (ContextOverflow, _) => "The conversation is too long for the model".to_owned(),
        _ => "The provider refused the request".to_owned(),
    };
    // The text of a 401 quotes the key, if only in part.
    let text = if status == 401 { String::new() } else { said.text };
    let message = if text.is_empty() {
        format!("{summary} ({status}).")
    } else {
        format!("{summary} ({status}): {text}")
    };
    let retry_after =
        (kind == RateLimited || kind == Overloaded).then(|| retry_after(headers, now)).flatten();
    ModelError { kind, message, retry_after }
}

/// The error inside an answer that began well, if this is one: `{"error": …}` or `{"object": "error", …}`.
pub(super) fn of_payload(payload: &Value) -> Option<ModelError> {
    let is_error = payload.get("error").is_some_and(|error| !error.is_null())
        || payload.get("object").and_then(Value::as_str) == Some("error");
    if !is_error {
        return None;
    }
    let said = Said::read(payload);
    let kind = said.kind().unwrap_or(Overloaded);
    let text = if kind == Unauthorized { String::new() } else { said.text };
    let text = if text.is_empty() { "no reason given".to_owned() } else { text };
    Some(ModelError::new(kind, format!("The provider broke off: {text}")))
}

impl From<EgressError> for ModelError {
    fn from(error: EgressError) -> Self {
        let kind = match &error {
            EgressError::Timeout => Timeout,
            EgressError::Busy { .. } => Overloaded,
            error if error.is_retryable() => Network,
            EgressError::InvalidUrl { .. }
            | EgressError::InvalidHeader { .. }
            | EgressError::Blocked { .. } => InvalidRequest,
            _ => Protocol,
        };
        let retry_after = match &error {
            EgressError::CircuitOpen { retry_after, .. } => Some(*retry_after),
            _ => None,
        };
        Self { kind, message: error.to_string(), retry_after }
    }
}

/// Takes the credential out of whatever the provider quoted, and caps the rest.
pub(super) fn sanitize(mut error: ModelError, key: Option<&SecretString>) -> ModelError {
    if let Some(key) = key.map(|key| key.expose_secret().trim()).filter(|key| !key.is_empty()) {
        error.message = error.message.replace(key, "[credential]");
    }
    let clean = error.message.chars().map(|c| if c.is_control() { ' ' } else { c });
    error.message = clean.take(MAX_TEXT).collect();
    error
}

/// What an error object says, in any of the shapes in use.
struct Said {
    text: String,
    code: String,
    class: String,
}

impl Said {
    fn read(payload: &Value) -> Self {
        let payload = payload.get(0).unwrap_or(payload);
        let error = payload.get("error").filter(|error| !error.is_null()).unwrap_or(payload);
        let field = |name| match error.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let text = match error {
            Value::String(text) => text.clone(),
            _ => [field("message"), field("detail")]
                .into_iter()
                .find(|text| !text.is_empty())
                .unwrap_or_default(),
        };
        Self { text, code: field("code"), class: field("type") }
    }

    /// By code, then type, then the words by which servers without codes can be told.
    fn kind(&self) -> Option<ModelErrorKind> {
        let named = [self.code.as_str(), self.class.as_str()].into_iter().find_map(|name| match name {
            "context_length_exceeded" | "exceed_context_size_error" | "request_too_large" => {
                Some(ContextOverflow)
            }
            "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" | "billing_error" => {
                Some(QuotaExceeded)
            }
            "rate_limit_exceeded" | "rate_limit_error" => Some(RateLimited),
            "content_filter" | "content_policy_violation" => Some(ContentFiltered),
            "invalid_api_key" | "authentication_error" | "permission_error" => Some(Unauthorized),
            "server_error" | "overloaded_error" | "api_error" => Some(Overloaded),
            "timeout_error" => Some(Timeout),
            _ => None,
        });
        let text = self.text.to_lowercase();
        let overflow = [
            "maximum context length",
            "context window",
            "context size",
            "context length",
            "context limit",
            "prompt is too long",
        ];
        named
            .or_else(|| overflow.iter().any(|words| text.contains(words)).then_some(ContextOverflow))
            .or_else(|| text.contains("credit balance is too low").then_some(QuotaExceeded))
            .or_else(|| {
                self.code.parse().ok().filter(|status| (400..600).contains(status)).map(kind_of_status)
            })
            .or_else(|| (self.class == "invalid_request_error").then_some(InvalidRequest))
    }
}

fn kind_of_status(status: u16) -> ModelErrorKind {
    match status {
        300..=399 => Protocol,
        401 | 403 => Unauthorized,
        402 => QuotaExceeded,
        408 => Timeout,
        413 => ContextOverflow,
        429 => RateLimited,
        500.. => Overloaded,
        _ => InvalidRequest,
    }
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &[(String, String)], now: DateTime<Utc>) -> Option<Duration> {
    let header = |name: &str| {
        headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let millis = header("retry-after-ms").and_then(|value| value.parse().ok()).map(Duration::from_millis);
    let wait = millis.or_else(|| {
        let value = header("retry-after")?;
        let seconds = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.or_else(|| (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - now).to_std().ok())
    });
    wait.map(|wait| wait.min(MAX_WAIT))
}

pub(super) fn protocol(what: impl std::fmt::Display) -> ModelError {
    ModelError::new(Protocol, format!("The provider sent {what}."))
}
