//! The stored form of an API tool and what is checked before it is saved.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::header;
use super::location::Location;
use crate::egress::Method;
use crate::error::{Error, FieldError, pointer_to};
use crate::runtime::tools::config;
use crate::templates::{Template, Text};

const MAX_QUERY: usize = 64;
const MAX_HEADERS: usize = 32;
const MAX_SECRETS: usize = 8;
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// A checked and compiled API tool.
#[derive(Debug)]
pub struct ApiConfig {
    pub(super) method: Method,
    pub(super) location: Location,
    pub(super) query: Vec<(String, Template)>,
    pub(super) headers: Vec<(String, Text)>,
    pub(super) body: Option<Template>,
    pub(super) secrets: Vec<SecretRef>,
    pub(super) response: ResponseMap,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
struct Stored {
    method: Verb,
    url: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    #[serde(default)]
    secrets: Vec<StoredSecret>,
    #[serde(default)]
    response: ResponseMap,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredSecret {
    header: Option<String>,
    query: Option<String>,
    integration_id: Uuid,
    #[serde(default)]
    prefix: String,
}

/// A secret by reference and where it is put.
#[derive(Debug)]
pub(super) struct SecretRef {
    pub place: Place,
    pub integration_id: Uuid,
    pub prefix: String,
}

#[derive(Debug)]
pub(super) enum Place {
    Header(String),
    Query(String),
}

/// Which part of the answer's body is the output, and how long the body may be.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ResponseMap {
    pub pointer: Option<String>,
    pub max_bytes: usize,
}

impl Default for ResponseMap {
    fn default() -> Self {
        Self { pointer: None, max_bytes: 1 << 20 }
    }
}

impl ApiConfig {
    /// # Errors
    /// [`Error::Invalid`] with pointers under `/config`.
    pub fn parse(stored: &Value) -> Result<Self, Error> {
        let Stored { method, url, query, headers, body, secrets, response } = config::parse(stored)?;
        let method = method.into();
        if body.is_some() && matches!(method, Method::GET | Method::HEAD) {
            return Err(Error::invalid("/config/body", "body", "GET and HEAD have no body."));
        }
        limit("/config/query", query.len(), MAX_QUERY)?;
        limit("/config/headers", headers.len(), MAX_HEADERS)?;
        limit("/config/secrets", secrets.len(), MAX_SECRETS)?;
        check_response(&response)?;
        Ok(Self {
            method,
            location: Location::parse(&url).map_err(|why| Error::invalid("/config/url", "url", why))?,
            query: query
                .into_iter()
                .map(|(name, value)| {
                    Template::compile(&value, &pointer_to("/config/query", &name)).map(|value| (name, value))
                })
                .collect::<Result<_, _>>()?,
            headers: headers
                .into_iter()
                .map(|(name, value)| {
                    header::compile(&name, &value)
                        .map_err(|why| Error::invalid(pointer_to("/config/headers", &name), "header", why))
                })
                .collect::<Result<_, _>>()?,
            body: body.map(|body| Template::compile(&body, "/config/body")).transpose()?,
            secrets: secrets
                .into_iter()
                .enumerate()
                .map(|(index, secret)| SecretRef::parse(secret, &pointer_to("/config/secrets", index)))
                .collect::<Result<_, _>>()?,
            response,
        })
    }

    /// Whether a call only reads (RFC 9110, section 9.2.1).
    pub fn is_safe(&self) -> bool {
        self.method.is_safe()
    }

    /// Where requests go, with `x` for each argument: for [`crate::egress::Egress::check_url`] when
    /// the tool is saved.
    pub fn sample_url(&self) -> &Url {
        self.location.sample()
    }

    /// The integrations whose credentials a call needs, in the order of `secrets`.
    pub fn integrations(&self) -> impl Iterator<Item = Uuid> {
        self.secrets.iter().map(|secret| secret.integration_id)
    }
}

impl SecretRef {
    fn parse(stored: StoredSecret, pointer: &str) -> Result<Self, Error> {
        let StoredSecret { header, query, integration_id, prefix } = stored;
        let place = match (header, query) {
            (Some(header), None) => Place::Header(
                header::check_secret_name(&header)
                    .map_err(|why| Error::invalid(pointer_to(pointer, "header"), "header", why))?,
            ),
            (None, Some(query)) => Place::Query(query),
            _ => return Err(Error::invalid(pointer, "secret", "Give either header or query.")),
        };
        header::check_value(&prefix)
            .map_err(|why| Error::invalid(pointer_to(pointer, "prefix"), "header", why))?;
        Ok(Self { place, integration_id, prefix })
    }
}

fn limit(pointer: &str, count: usize, max: usize) -> Result<(), Error> {
    if count <= max {
        return Ok(());
    }
    Err(Error::invalid(pointer, "too_many", format!("At most {max} are allowed.")))
}

fn check_response(response: &ResponseMap) -> Result<(), Error> {
    let mut errors = Vec::new();
    if response.pointer.as_ref().is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
        let message = "A JSON pointer is empty or starts with /.";
        errors.push(FieldError::new("/config/response/pointer", "pointer", message));
    }
    if !(1..=MAX_RESPONSE_BYTES).contains(&response.max_bytes) {
        let message = format!("From 1 to {MAX_RESPONSE_BYTES}.");
        errors.push(FieldError::new("/config/response/maxBytes", "range", message));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid { errors }) }
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Head => Self::HEAD,
            Verb::Post => Self::POST,
            Verb::Put => Self::PUT,
            Verb::Patch => Self::PATCH,
            Verb::Delete => Self::DELETE,
        }
    }
}
