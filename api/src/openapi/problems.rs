//! The shared problem responses, one for each status.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Type};

use crate::error::codes;

/// Name in `components/responses`, status, the code of its example, when it happens.
pub const SHARED: &[(&str, u16, &str, &str)] = &[
    ("BadRequest", 400, "bad_request", "The request cannot be read."),
    ("Unauthorized", 401, "unauthenticated", "No credential, or one that is not valid."),
    ("Forbidden", 403, "permission_missing", "The caller lacks the permission of this operation."),
    ("NotFound", 404, "not_found", "It does not exist, or not for this caller."),
    ("RequestTimeout", 408, "request_timeout", "The body came too slowly."),
    ("Conflict", 409, "conflict", "The state of the resource forbids it."),
    ("PreconditionFailed", 412, "revision_changed", "`If-Match` names another revision."),
    ("PayloadTooLarge", 413, "payload_too_large", "The body is larger than the limit."),
    ("UnsupportedMediaType", 415, "unsupported_media_type", "The body is not `application/json`."),
    ("Invalid", 422, "invalid", "Something breaks a rule; `errors` names each field, parameter or header."),
    ("TooManyRequests", 429, "rate_limit", "A limit is reached; `Retry-After` says when to come back."),
    ("Internal", 500, "internal", "The server failed; the request id finds the cause in its log."),
    ("Unavailable", 503, "unavailable", "Not available now; `Retry-After` says when to try again."),
];

pub fn components() -> BTreeMap<String, RefOr<Response>> {
    let named = |(name, status, code, description): &(&str, u16, &str, &str)| {
        ((*name).to_owned(), response(*status, code, description).into())
    };
    SHARED.iter().map(named).collect()
}

fn response(status: u16, code: &str, description: &str) -> Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .example(Some(example(status, code)))
        .build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .header("X-Request-Id", request_id());
    let text = |description, example: &str| header(description, Type::String, example.into());
    let wait = || header("Seconds to wait.", Type::Integer, 3.into());
    let response = match status {
        401 => response
            .header("WWW-Authenticate", text("How to authenticate.", r#"Bearer realm="mission-control""#)),
        429 => response
            .header("Retry-After", wait())
            .header("RateLimit", text("What is left of the limit.", r#""requests";r=0;t=3"#))
            .header("RateLimit-Policy", text("The limit.", r#""requests";q=600;w=60"#)),
        503 => response.header("Retry-After", wait()),
        _ => response,
    };
    response.build()
}

pub fn request_id() -> Header {
    let example = "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b";
    header("Finds this request in the server's log.", Type::String, example.into())
}

fn header(description: &str, kind: Type, example: Value) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).example(Some(example)).build()
}

fn example(status: u16, code: &str) -> Value {
    let meaning = codes::find(code).map_or("", |row| row.meaning);
    let mut example = json!({
        "type": format!("urn:mission-control:problem:{code}"),
        "title": meaning,
        "status": status,
        "detail": meaning,
        "code": code,
        "requestId": "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    });
    if status == 422
        && let Some(fields) = example.as_object_mut()
    {
        let error =
            json!([{ "pointer": "/name", "code": "length", "message": "must be 1 to 120 characters" }]);
        fields.insert("errors".to_owned(), error);
    }
    example
}
