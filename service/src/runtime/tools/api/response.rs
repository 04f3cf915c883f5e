//! From the answer to the output. Invariant: no secret of the request is in it, even when the other
//! side echoes what it was sent.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::config::ResponseMap;
use super::request::is_json;
use crate::egress::Response;
use crate::runtime::tools::{ToolFailure, output};

/// Headers that help to go on from an answer.
const SHOWN: [&str; 6] = ["content-type", "etag", "last-modified", "link", "location", "retry-after"];
const MAX_HEADER: usize = 1024;
/// Shorter secrets would be found in innocent text.
const MIN_SECRET: usize = 4;
/// Bytes of the answer quoted in a failure.
const MAX_EXCERPT: usize = 1024;
/// Bytes of the output kept for everything but a text body.
const ENVELOPE: usize = 256;

/// Replaces the secrets of one request.
#[derive(Default)]
pub(super) struct Redactor(Vec<Zeroizing<String>>);

impl Redactor {
    pub fn hide(&mut self, secret: &SecretString) {
        let plain = secret.expose_secret();
        if plain.len() < MIN_SECRET {
            return;
        }
        let encoded: String = form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        self.0.extend([plain.to_owned(), encoded].map(Zeroizing::new));
    }

    fn apply(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), "[secret]"),
            false => text,
        })
    }
}

pub(super) fn read(
    map: &ResponseMap,
    answer: &Response,
    redactor: &Redactor,
    max_bytes: usize,
) -> Result<Value, ToolFailure> {
    let kind = header(answer, "content-type").unwrap_or_default();
    let text = std::str::from_utf8(&answer.body).ok().map(|text| redactor.apply(text.to_owned()));
    if !(200..300).contains(&answer.status) {
        return Err(bad_status(answer.status, text.unwrap_or_default()));
    }
    let body = match text {
        None => json!({"omitted": format!("{} bytes of {kind}", answer.body.len())}),
        Some(text) if text.is_empty() => Value::Null,
        Some(text) if is_json(kind) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Some(text) => Value::String(text),
    };
    if let Some(pointer) = &map.pointer {
        let message = || format!("The answer has nothing at {pointer:?}.");
        let part = body.pointer(pointer).ok_or_else(|| ToolFailure::new("response_pointer", message()))?;
        return output::cap(part.clone(), max_bytes);
    }
    let headers = shown(answer, redactor);
    let rest = Value::Object(headers.clone()).to_string().len() + ENVELOPE;
    let body = match body {
        Value::String(text) => Value::String(output::cut(text, max_bytes.saturating_sub(rest))),
        other => other,
    };
    output::cap(json!({"status": answer.status, "headers": headers, "body": body}), max_bytes)
}

fn bad_status(status: u16, text: String) -> ToolFailure {
    ToolFailure {
        code: "http_status",
        message: format!("The server answered {status}: {}", output::cut(text, MAX_EXCERPT)),
        retryable: matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
        // A server that refuses a request (4xx) says that nothing happened; a broken one does not know.
        outcome_unknown: status == 408 || !(300..500).contains(&status),
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn shown(answer: &Response, redactor: &Redactor) -> Map<String, Value> {
    SHOWN
        .iter()
        .filter_map(|name| {
            let value = redactor.apply(header(answer, name)?.to_owned());
            Some(((*name).to_owned(), Value::String(output::cut(value, MAX_HEADER))))
        })
        .collect()
}
