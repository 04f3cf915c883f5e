//! Traces for OpenTelemetry, where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector: requests, attempts at
//! runs, model calls, tool calls.
//!
//! Invariants: a span holds ids, names and numbers, never what people, models or tools said; what the
//! collector does not take is lost and counted, and holds nothing up.

mod export;
mod span;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use secrecy::SecretString;
use service::core::World;
use service::egress::{Egress, Policy};
use tokio::sync::{mpsc, oneshot};
use tracing::field::Empty;
use tracing::{Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use self::export::Exporter;
use self::span::Spans;
use crate::cli::Failure;
use crate::openapi::operation_of;

/// Spans that wait to be sent; more are lost.
const WAITING: usize = 8_192;
/// How long the end of the process waits for the last spans.
const LAST: Duration = Duration::from_secs(5);

/// Where spans go.
pub struct Collector {
    /// Of OTLP over HTTP, without `/v1/traces`.
    pub endpoint: Url,
    pub headers: Headers,
    pub service_name: String,
}

/// `name=value` pairs with commas between them; collectors are sent their keys in these.
#[derive(Clone, Default)]
pub struct Headers(pub HashMap<String, SecretString>);

impl FromStr for Headers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').ok_or("headers are written as name=value,name=value")?;
            Ok((name.trim().to_owned(), SecretString::from(value.trim().to_owned())))
        };
        let pairs = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        pairs.map(pair).collect::<Result<_, String>>().map(Self)
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} headers", self.0.len())
    }
}

/// What goes to the exporter.
enum Parcel {
    Span(Box<span::Ended>),
    /// Everything before it was sent.
    Flush(oneshot::Sender<()>),
}

static EXPORTER: OnceLock<mpsc::Sender<Parcel>> = OnceLock::new();

/// The layer that makes spans of the process's work, and the task that sends them.
///
/// # Errors
/// When the endpoint cannot be used.
pub fn layer<S>(collector: Collector) -> Result<impl Layer<S>, Failure>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let World { clock, ids } = World::real();
    let policy = Policy { allow_private_hosts: place(&collector.endpoint), ..Policy::default() };
    let egress = Egress::new(policy, clock.clone())?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(Exporter::new(egress, collector)?.run(receiver));
    let _ = EXPORTER.set(sender.clone());
    let ours = filter_fn(|meta| {
        meta.is_span() && ["api::", "service::"].iter().any(|own| meta.target().starts_with(own))
    });
    Ok(Spans::new(clock, ids, sender).with_filter(ours.and(LevelFilter::DEBUG)))
}

/// The operator named the collector, so it may be private.
fn place(endpoint: &Url) -> Vec<String> {
    let host = endpoint.host_str().unwrap_or_default();
    endpoint.port_or_known_default().map(|port| format!("{host}:{port}")).into_iter().collect()
}

/// Waits until what happened so far was sent, or a while.
pub async fn flush() {
    let Some(exporter) = EXPORTER.get() else { return };
    let (done, sent) = oneshot::channel();
    let flushed = async {
        if exporter.send(Parcel::Flush(done)).await.is_ok() {
            let _ = sent.await;
        }
    };
    let _ = tokio::time::timeout(LAST, flushed).await;
}

/// The span of a request. Without a collector it has what log lines show and nothing else.
pub fn of_request(request: &ServiceRequest, id: &str) -> Span {
    if EXPORTER.get().is_none() {
        return tracing::info_span!("request", request_id = %id);
    }
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    tracing::info_span!(
        "request",
        request_id = %id,
        otel.name = Empty,
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.response.status_code = Empty,
        error.type = Empty,
        traceparent = parent,
    )
}

/// What became of the request.
pub fn answered<B>(span: &Span, response: &ServiceResponse<B>, code: Option<&str>) {
    if EXPORTER.get().is_none() {
        return;
    }
    span.record("otel.name", operation_of(response.request()));
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(code) = code {
        span.record("error.type", code);
    }
}
