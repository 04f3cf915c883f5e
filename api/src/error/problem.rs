//! The body of every error: RFC 9457 with a stable code, the request id and pointers.

use serde::Serialize;
use utoipa::ToSchema;

use super::{HttpError, codes};

/// What went wrong, as `application/problem+json` (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Names the kind of problem: `urn:mission-control:problem:<code>`.
    #[serde(rename = "type")]
    #[schema(rename = "type", format = "uri", example = "urn:mission-control:problem:invalid")]
    kind: String,
    /// What this code means, the same for every occurrence.
    #[schema(example = "A field, parameter or header breaks a rule; `errors` names each.")]
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    status: u16,
    /// What is wrong this time.
    #[schema(example = "/name: must be 1 to 120 characters")]
    detail: String,
    /// Stable and made for programs.
    #[schema(example = "invalid")]
    code: String,
    /// Finds this request in the server's log; also the header `X-Request-Id`.
    #[schema(example = "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b")]
    request_id: String,
    /// Each thing that is wrong with the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ProblemField>,
}

/// One thing that is wrong with the input.
#[derive(Serialize, ToSchema)]
pub struct ProblemField {
    /// An RFC 6901 pointer into the body, or the name of a parameter or header.
    #[schema(example = "/name")]
    pointer: String,
    /// Stable and made for programs.
    #[schema(example = "length")]
    code: String,
    /// Made for people.
    #[schema(example = "must be 1 to 120 characters")]
    message: String,
}

impl Problem {
    pub fn of(error: &HttpError, request_id: &str) -> Self {
        let title = codes::find(error.code).map_or_else(
            || error.status.canonical_reason().unwrap_or("Error").to_owned(),
            |row| row.meaning.to_owned(),
        );
        Self {
            kind: format!("urn:mission-control:problem:{}", error.code),
            title,
            status: error.status.as_u16(),
            detail: error.detail.clone().into_owned(),
            code: error.code.to_owned(),
            request_id: request_id.to_owned(),
            errors: error
                .errors
                .iter()
                .map(|field| ProblemField {
                    pointer: field.pointer.clone(),
                    code: field.code.clone().into_owned(),
                    message: field.message.clone(),
                })
                .collect(),
        }
    }
}
