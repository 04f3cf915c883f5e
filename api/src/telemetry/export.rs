//! Sends ended spans to the collector, many at once: OTLP over HTTP in JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), through the egress door.

use std::time::Duration;

use serde_json::{Value, json};
use service::egress::{Egress, EgressError, Method, Request, Url};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{Collector, Headers, Parcel, span};

/// Spans of one request.
const MOST: usize = 512;
/// How long the first of them waits for company.
const PAUSE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Exporter {
    egress: Egress,
    url: Url,
    headers: Headers,
    resource: Value,
    /// The collector did not take the last spans; said once, not each time.
    failing: bool,
}

impl Exporter {
    pub fn new(egress: Egress, collector: Collector) -> Result<Self, EgressError> {
        let Collector { endpoint: mut url, headers, service_name } = collector;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        egress.check_url(&url)?;
        let attributes =
            [("service.name", service_name), ("service.version", env!("CARGO_PKG_VERSION").to_owned())];
        let attributes: Vec<Value> =
            attributes.map(|(key, value)| span::attribute(key, &Value::String(value))).into();
        Ok(Self { egress, url, headers, resource: json!({ "attributes": attributes }), failing: false })
    }

    pub async fn run(mut self, mut parcels: mpsc::Receiver<Parcel>) {
        while let Some(first) = parcels.recv().await {
            let due = Instant::now() + PAUSE;
            let mut spans = Vec::new();
            let mut flushed = None;
            let mut next = Some(first);
            while let Some(parcel) = next {
                match parcel {
                    Parcel::Span(span) => spans.push(span.json()),
                    Parcel::Flush(done) => {
                        flushed = Some(done);
                        break;
                    }
                }
                next = match spans.len() {
                    MOST.. => None,
                    _ => timeout_at(due, parcels.recv()).await.ok().flatten(),
                };
            }
            if !spans.is_empty() {
                self.send(spans).await;
            }
            if let Some(done) = flushed {
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, spans: Vec<Value>) {
        let count = spans.len();
        let scope = json!({ "scope": { "name": "mission-control" }, "spans": spans });
        let body = json!({ "resourceSpans": [{ "resource": self.resource, "scopeSpans": [scope] }] });
        let mut request = Request::new(Method::POST, self.url.clone());
        request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        request.secret_headers.extend(self.headers.0.clone());
        request.body = Some(body.to_string().into());
        request.timeout = TIMEOUT;
        let problem = match self.egress.send(request).await {
            Ok(answer) if (200..300).contains(&answer.status) => None,
            Ok(answer) => Some(format!("it answered {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = &problem
            && !self.failing
        {
            tracing::warn!(problem, spans = count, "the collector of traces does not take them");
        }
        self.failing = problem.is_some();
    }
}
