//! The outermost layer: gives a request its id, and its answer the headers every answer has, the
//! problem document of its error, one canonical log line and its metrics.
//!
//! The log has ids, codes and the cause of an internal error; never bodies, queries or credentials.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest};
use service::db::Statements;
use service::governance::audit_logs;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::headers::secure;
use super::identify::{Caller, RequestId};
use super::{Answer, Shared, boxed, request_info, routed_path};
use crate::error::{HttpError, Problem};
use crate::metrics::{DURATION, REQUESTS};
use crate::openapi::{find_operation, operation_of};
use crate::telemetry;

const REQUEST_ID: &str = "x-request-id";

pub async fn observe(
    gate: Shared,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Answer {
    let started = Instant::now();
    let id = given_id(&request).unwrap_or_else(|| gate.core.ids.next().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    find_operation(request.request());
    let span = telemetry::of_request(&request, &id);
    let statements = Statements::default();
    let work = statements.clone().during(next.call(request).instrument(span.clone()));
    let mut response = boxed(work.await?);

    let mut failure = Failure::of(&response, &id);
    if let Some(failure) = &mut failure {
        response = with_problem(response, std::mem::take(&mut failure.body));
    }
    let path = routed_path(response.request()).to_owned();
    let headers = response.headers_mut();
    secure(&path, headers);
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(header::HeaderName::from_static(REQUEST_ID), value);
    }
    telemetry::answered(&span, &response, failure.as_ref().map(|failure| failure.code));
    record(&response, failure.as_ref(), &id, started.elapsed(), statements.count());
    count(&gate, &response);
    if let Some(failure) = failure.filter(|_| response.status() == StatusCode::FORBIDDEN) {
        keep_refusal(&gate, response.request(), failure.code).await;
    }
    Ok(response)
}

/// Counts the request of a key.
fn count(gate: &Shared, response: &ServiceResponse<BoxBody>) {
    if let Some(Caller::Known(principal)) = response.request().extensions().get::<Caller>()
        && let Some(key) = principal.actor.api_key()
    {
        let status = response.status().as_u16();
        gate.core.key_usage.note(&gate.core.clock, principal.tenant, key, status);
    }
}

/// The refusal of a known caller stands in the audit log before they are told.
async fn keep_refusal(gate: &Shared, request: &HttpRequest, code: &'static str) {
    let caller = match request.extensions().get::<Caller>() {
        Some(Caller::Known(principal)) => principal.clone(),
        _ => return,
    };
    let (core, info) = (gate.core.clone(), request_info(request));
    let kept = gate.spawn(async move { audit_logs::refused(&core, &caller, &info, code).await });
    if let Err(lost) = kept.await {
        tracing::error!(%lost, "a refusal could not be recorded");
    }
}

/// The caller's own id, if it is well formed: it goes into headers and logs.
fn given_id(request: &ServiceRequest) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let well_formed = (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    well_formed.then(|| id.to_owned())
}

/// What an error answer shows and what the log keeps of it.
struct Failure {
    code: &'static str,
    cause: Option<String>,
    body: Vec<u8>,
}

impl Failure {
    /// A refusal of the framework has no error of ours: its status says which one to show. A handler
    /// that answers with its own JSON (`/readyz`) is left alone.
    fn of(response: &ServiceResponse<BoxBody>, id: &str) -> Option<Self> {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return None;
        }
        let attached = response.response().error();
        let own = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if attached.is_none() && own {
            return None;
        }
        let show = |error: &HttpError, cause: Option<String>| Self {
            code: error.code,
            cause,
            body: serde_json::to_vec(&Problem::of(error, id)).unwrap_or_default(),
        };
        Some(match attached.and_then(|error| error.as_error::<HttpError>()) {
            Some(error) => show(error, error.cause().map(ToString::to_string)),
            None => {
                let cause = attached.filter(|_| status.is_server_error()).map(ToString::to_string);
                show(&HttpError::framework(status), cause)
            }
        })
    }
}

/// Replaces the body by the problem, keeping the headers that say more (`Retry-After`, `Allow`, CORS).
fn with_problem(response: ServiceResponse<BoxBody>, body: Vec<u8>) -> ServiceResponse<BoxBody> {
    let mut response = response.map_body(|_, _| BoxBody::new(body));
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

fn record(
    response: &ServiceResponse<BoxBody>,
    failure: Option<&Failure>,
    id: &str,
    elapsed: Duration,
    queries: u32,
) {
    let request = response.request();
    let operation = operation_of(request);
    let status = response.status();
    metrics::counter!(REQUESTS, "operation" => operation, "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!(DURATION, "operation" => operation).record(elapsed.as_secs_f64());

    let (actor, tenant) = match request.extensions().get::<Caller>() {
        Some(Caller::Known(principal)) => {
            (Some(principal.actor.to_string()), Some(principal.tenant.to_string()))
        }
        _ => (None, None),
    };
    let code = failure.map(|failure| failure.code);
    let cause = failure.and_then(|failure| failure.cause.as_deref());
    let duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let (method, status_code) = (request.method().as_str(), status.as_u16());
    // One set of fields at two levels: a failure of ours is to be seen.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request_id = id,
                operation,
                method,
                status = status_code,
                duration_us,
                queries,
                actor,
                tenant,
                code,
                cause,
                "request"
            )
        };
    }
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        line!(error);
    } else {
        line!(info);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_well_formed_ids_are_taken_over() {
        let given = |id: &str| given_id(&TestRequest::get().insert_header((REQUEST_ID, id)).to_srv_request());
        assert_eq!(given("a-b_c.9").as_deref(), Some("a-b_c.9"));
        for bad in ["", "a b", "a\tb", "<script>", &"a".repeat(129)] {
            assert_eq!(given(bad), None, "{bad}");
        }
    }
}
