//! The process's metrics. One recorder a process, however many servers it has.

use std::sync::OnceLock;
use std::time::Duration;

use actix_web::HttpResponse;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub const REQUESTS: &str = "http_requests_total";
pub const DURATION: &str = "http_request_duration_seconds";
pub const IN_FLIGHT: &str = "http_requests_in_flight";
pub const STREAMS: &str = "http_streams_open";
pub const WAITS: &str = "http_waits_open";
/// How often the recorder folds what it has gathered.
pub const UPKEEP: Duration = Duration::from_secs(5);

const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Installs the recorder at its first call.
pub fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(install).clone()
}

/// Prometheus text format.
pub fn answer(recorder: &PrometheusHandle) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(recorder.render())
}

fn install() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let recorder = builder
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .unwrap_or_else(|_| PrometheusBuilder::new())
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; /metrics stays empty");
    }
    describe_counter!(REQUESTS, "Requests answered, by operation and status");
    describe_histogram!(DURATION, Unit::Seconds, "Time from the head of a request to its answer");
    describe_gauge!(IN_FLIGHT, "Requests being worked on");
    describe_gauge!(STREAMS, "Event streams open");
    describe_gauge!(WAITS, "Requests that wait for a run or a tool to end");
    handle
}
