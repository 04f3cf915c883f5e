//! From a configuration and arguments to the request, with its secrets.

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::config::{ApiConfig, Place, SecretRef};
use super::header;
use super::response::Redactor;
use crate::egress::{Method, Request};
use crate::runtime::tools::{ToolCallContext, ToolFailure};
use crate::templates::{Context, Template};

pub(super) struct Prepared {
    pub request: Request,
    pub redactor: Redactor,
}

pub(super) async fn prepare(
    config: &ApiConfig,
    arguments: &Value,
    cx: &ToolCallContext<'_>,
) -> Result<Prepared, ToolFailure> {
    let context = Context::from(arguments);
    let mut url = config.location.render(&context).map_err(|why| invalid("/url", &why))?;
    for (name, template) in &config.query {
        append_query(&mut url, name, template, &context)?;
    }
    let mut headers = Vec::with_capacity(config.headers.len() + 3);
    for (name, value) in &config.headers {
        let value =
            header::render(value, &context).map_err(|why| invalid(&format!("/headers/{name}"), &why))?;
        headers.push((name.clone(), value));
    }
    let body = match &config.body {
        Some(template) => Some(body(template, &context, &mut headers)?),
        None => None,
    };
    default_header(&mut headers, "accept", "application/json, */*;q=0.5");
    if !matches!(config.method, Method::GET | Method::HEAD) {
        default_header(&mut headers, "idempotency-key", cx.effect_key);
    }
    let mut request = Request {
        headers,
        body,
        timeout: cx.timeout,
        max_bytes: config.response.max_bytes,
        ..Request::new(config.method.clone(), url)
    };
    let mut redactor = Redactor::default();
    for secret in &config.secrets {
        let value = resolve(secret, &request.url, cx).await?;
        redactor.hide(&value);
        place(&mut request, secret, &value);
    }
    Ok(Prepared { request, redactor })
}

fn append_query(
    url: &mut Url,
    name: &str,
    template: &Template,
    context: &Context,
) -> Result<(), ToolFailure> {
    let pointer = format!("/query/{name}");
    let rendered = template.render(context).map_err(|error| invalid(&pointer, &error.message))?;
    let values = match rendered {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        one => vec![one],
    };
    for value in values {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(invalid(&pointer, "has to be text, a number, a boolean or a list of them"));
            }
        };
        url.query_pairs_mut().append_pair(name, &text);
    }
    Ok(())
}

/// JSON unless the configuration names a type under which text or a form is meant.
fn body(
    template: &Template,
    context: &Context,
    headers: &mut Vec<(String, String)>,
) -> Result<Bytes, ToolFailure> {
    let rendered = template
        .render(context)
        .map_err(|error| invalid(&format!("/body{}", error.pointer), &error.message))?;
    let kind = headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    let bytes = match (kind, rendered) {
        (Some("application/x-www-form-urlencoded"), Value::Object(fields)) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            for (name, value) in fields {
                match value {
                    Value::Null => continue,
                    Value::String(text) => form.append_pair(&name, &text),
                    other => form.append_pair(&name, &other.to_string()),
                };
            }
            form.finish()
        }
        (Some(kind), Value::String(text)) if !is_json(kind) => text,
        (_, rendered) => rendered.to_string(),
    };
    default_header(headers, "content-type", "application/json");
    Ok(Bytes::from(bytes))
}

/// Whether a media type is JSON (RFC 8259, RFC 6839).
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

async fn resolve(
    secret: &SecretRef,
    url: &Url,
    cx: &ToolCallContext<'_>,
) -> Result<SecretString, ToolFailure> {
    let id = secret.integration_id;
    let found = cx.secrets.resolve(id).await.map_err(|error| {
        tracing::error!(%error, "a tool's secret could not be read");
        ToolFailure {
            retryable: true,
            ..ToolFailure::new("secret_unavailable", "A secret could not be read.")
        }
    })?;
    let Some(found) = found else {
        return Err(ToolFailure::new("secret_missing", format!("The integration {id} holds no credential.")));
    };
    if !found.may_go_to(url) {
        let message =
            format!("The credential of the integration {id} is not bound to the host of this tool.");
        return Err(ToolFailure::new("secret_not_bound", message));
    }
    Ok(found.value)
}

fn place(request: &mut Request, secret: &SecretRef, value: &SecretString) {
    let value = format!("{}{}", secret.prefix, value.expose_secret());
    match &secret.place {
        Place::Header(name) => {
            request.headers.retain(|(other, _)| other != name);
            request.secret_headers.push((name.clone(), value.into()));
        }
        Place::Query(name) => {
            request.url.query_pairs_mut().append_pair(name, &value);
        }
    }
}

fn default_header(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    if !headers.iter().any(|(other, _)| other == name) {
        headers.push((name.to_owned(), value.to_owned()));
    }
}

fn invalid(pointer: &str, why: &str) -> ToolFailure {
    ToolFailure::new("invalid_arguments", format!("{pointer}: {why}"))
}
