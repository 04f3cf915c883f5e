//! API tools: one HTTP request made from a template, through the egress door.
//!
//! ```json
//! {"method": "POST", "url": "https://api.example/v1/cities/{{ city }}/notes",
//!  "query": {"limit": "{{ limit | default(none) }}"},
//!  "headers": {"accept-language": "{{ language }}"},
//!  "body": {"text": "{{ text }}"},
//!  "secrets": [{"header": "authorization", "integrationId": "…", "prefix": "Bearer "}],
//!  "response": {"pointer": "/items", "maxBytes": 65536}}
//! ```
//!
//! The call's arguments are the names in expressions. `query` values that come out null are left
//! out, lists are repeated. The output is `{status, headers, body}`, or with `response.pointer` that
//! part of the body alone; `body` is JSON when the answer says so, else text. A status other than
//! 2xx is a failure that quotes the beginning of the answer.

mod config;
mod header;
mod location;
mod request;
mod response;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use self::config::ApiConfig;
use self::request::Prepared;
use super::{ToolCallContext, ToolFailure};
use crate::egress::EgressError;

pub(super) async fn execute(
    config: &ApiConfig,
    arguments: &Value,
    cx: &ToolCallContext<'_>,
) -> Result<Value, ToolFailure> {
    let Prepared { request, redactor } = request::prepare(config, arguments, cx).await?;
    match cx.egress.send(request).await {
        Ok(answer) => response::read(&config.response, &answer, &redactor, cx.max_output_bytes),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &EgressError) -> ToolFailure {
    ToolFailure {
        code: error.code(),
        message: error.to_string(),
        retryable: error.is_retryable(),
        outcome_unknown: error.sent(),
    }
}
