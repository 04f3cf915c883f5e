//! Where the log goes: standard error, as text or as one JSON object a line. Traces go to a collector,
//! where there is one.

use std::io::{IsTerminal as _, stderr};

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use super::settings::LogFormat;
use super::{Failure, Settings};
use crate::telemetry;

pub fn start(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| format!("MC_LOG is not a filter such as `info,service::engine=debug`: {error}"))?;
    match settings.collector() {
        None => registry().with(filter).with(lines(settings.log_format)).try_init()?,
        Some(collector) => {
            let traces = telemetry::layer(collector)
                .map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {error}"))?;
            let log = lines(settings.log_format).with_filter(filter);
            registry().with(log).with(traces).try_init()?;
        }
    }
    Ok(())
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let log = fmt::layer().with_writer(stderr);
    match format {
        LogFormat::Text => log.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).boxed(),
    }
}
