//! What a hook was sent: its headers and body, and what they say.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use entity::tasks::inbound_hook::{HookScheme, Model as Hook};
use serde_json::{Map, Value, json};

use crate::crud::document;
use crate::db::rows::storable;
use crate::error::{Error, Result};
use crate::tasks::inbound_hooks::HookConfig;

const MOST_HEADERS: usize = 64;
const LONGEST_HEADER: usize = 1_024;
/// Characters kept of an id or a type that the sender names.
const LONGEST_NAME: usize = 200;
const MOST_DEPTH: usize = 64;
/// Parts of header names whose values prove something.
const PROOFS: [&str; 8] = ["auth", "cookie", "key", "password", "secret", "session", "signature", "token"];

/// A delivery as it came.
#[derive(Clone, Debug)]
pub struct Sent {
    /// By name, in lower case; of several of one name the first.
    headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Sent {
    pub fn new(headers: impl IntoIterator<Item = (String, String)>, body: Bytes) -> Self {
        let mut kept = BTreeMap::new();
        for (name, value) in headers {
            kept.entry(name.to_ascii_lowercase()).or_insert(value);
        }
        Self { headers: kept, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    pub fn content_type(&self) -> Option<String> {
        self.header("content-type").map(cut)
    }

    /// The headers as the log and templates show them: without what proves who somebody is.
    pub fn shown_headers(&self, hook: &Hook) -> Value {
        let own = signature_header(hook);
        let shown = self.headers.iter().take(MOST_HEADERS).map(|(name, value)| {
            let is_own = own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
            let proves = is_own || PROOFS.iter().any(|part| name.contains(part));
            let value =
                if proves { "[redacted]" } else { &value[..value.floor_char_boundary(LONGEST_HEADER)] };
            (name.clone(), Value::String(value.to_owned()))
        });
        storable(Value::Object(shown.collect()))
    }

    /// The body as data, by its media type: JSON, a form as an object, text.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that is not what it says, or that nothing is made of.
    pub fn read(&self) -> Result<Value> {
        let kind = self.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let text = std::str::from_utf8(&self.body).map_err(|_| malformed("The body is not UTF-8."))?;
        let value = match kind.as_str() {
            "application/x-www-form-urlencoded" => form(text),
            "application/json" => json_of(text)?,
            kind if kind.starts_with("application/") && kind.ends_with("+json") => json_of(text)?,
            kind if kind.starts_with("text/") => Value::String(text.to_owned()),
            "" if text.is_empty() => Value::Null,
            "" => json_of(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            _ => return Err(malformed("A delivery is JSON, a form or text.")),
        };
        Ok(storable(value))
    }

    /// The sender's id of the delivery.
    pub fn delivery_id(&self, hook: &Hook, body: &Value) -> Option<String> {
        let of_body = |places: &[&str]| places.iter().find_map(|place| body.pointer(place)?.as_str());
        let id = match hook.scheme {
            HookScheme::StandardWebhooks => self.header("webhook-id").or_else(|| self.header("svix-id")),
            HookScheme::Github => self.header("x-github-delivery"),
            HookScheme::Stripe => of_body(&["/id"]),
            HookScheme::Slack => of_body(&["/event_id", "/trigger_id", "/payload/trigger_id"]),
            HookScheme::Hmac | HookScheme::None => {
                let config: HookConfig = document::read(hook.config.clone());
                config.delivery_id_header.and_then(|name| self.header(&name))
            }
        };
        id.filter(|id| !id.is_empty()).map(cut)
    }

    /// What the sender calls it.
    pub fn kind(&self, scheme: HookScheme, body: &Value) -> Option<String> {
        let named = match scheme {
            HookScheme::Github => self.header("x-github-event"),
            HookScheme::Slack => ["/event/type", "/payload/type", "/type"]
                .iter()
                .find_map(|place| body.pointer(place)?.as_str()),
            _ => body.get("type").and_then(Value::as_str),
        };
        named.map(cut)
    }
}

/// What templates read of a delivery.
pub fn context(
    hook: &Hook,
    sent: &Sent,
    body: &Value,
    kind: Option<&str>,
    id: Option<&str>,
    received: DateTime<Utc>,
) -> Value {
    json!({ "body": body, "headers": sent.shown_headers(hook), "type": kind,
        "delivery": { "id": id, "receivedAt": received } })
}

/// The header that a plain HMAC is in.
fn signature_header(hook: &Hook) -> Option<String> {
    let config: HookConfig = document::read(hook.config.clone());
    config.header
}

/// What the sender wants to hear back at once: Slack's handshake.
pub fn challenge(scheme: HookScheme, body: &Value) -> Option<String> {
    let asked = scheme == HookScheme::Slack && body.get("type")?.as_str() == Some("url_verification");
    asked.then(|| body.get("challenge")?.as_str().map(cut)).flatten()
}

fn cut(text: &str) -> String {
    text.chars().filter(|letter| *letter != '\0').take(LONGEST_NAME).collect()
}

fn malformed(message: &str) -> Error {
    Error::invalid("", "malformed", message)
}

fn json_of(text: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text).map_err(|_| malformed("The body is not JSON."))?;
    if depth(&value) > MOST_DEPTH {
        return Err(malformed("The body is nested deeper than 64 levels."));
    }
    Ok(value)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A field that comes several times is an array; one called `payload` that holds JSON (Slack, GitHub) is that.
fn form(text: &str) -> Value {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        let value = match (&*name, value) {
            ("payload", value) => json_of(&value).unwrap_or_else(|_| Value::String(value.into_owned())),
            (_, value) => Value::String(value.into_owned()),
        };
        match fields.get_mut(&*name) {
            None => drop(fields.insert(name.into_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(kind: &str, body: &str) -> Sent {
        let headers =
            [("Content-Type", kind), ("X-Hub-Signature", "s"), ("authorization", "a"), ("X-Plain", "p")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Sent::new(headers, Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn bodies_are_read_by_their_media_type() {
        for (kind, body, expected) in [
            ("application/json; charset=utf-8", r#"{"a":1}"#, json!({ "a": 1 })),
            ("application/cloudevents+json", "[1]", json!([1])),
            ("text/plain", "a=b", json!("a=b")),
            ("application/x-www-form-urlencoded", "a=1&a=2&b=%C3%A9", json!({ "a": ["1", "2"], "b": "é" })),
            (
                "application/x-www-form-urlencoded",
                "payload=%7B%22x%22%3A1%7D",
                json!({ "payload": { "x": 1 } }),
            ),
            ("", "", Value::Null),
            ("", r#""x""#, json!("x")),
            ("application/json", r#"{"a":"b\u0000"}"#, json!({ "a": "b\u{fffd}" })),
        ] {
            assert_eq!(sent(kind, body).read().unwrap(), expected, "{kind} {body}");
        }
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for (kind, body) in
            [("application/json", "{"), ("application/json", deep.as_str()), ("image/png", "x")]
        {
            assert!(sent(kind, body).read().is_err(), "{kind}");
        }
    }
}
