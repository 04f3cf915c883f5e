//! Where the log goes: standard error, as text or as one JSON object a line.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use super::settings::LogFormat;
use super::{Failure, Settings};

pub fn start(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| format!("MC_LOG is not a filter such as `info,service::engine=debug`: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match settings.log_format {
        LogFormat::Text => log.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
    }
}
