//! `serve`: the API and the engine in one process.

use std::net::TcpListener;
use std::process::ExitCode;

use service::core::{Core, World};

use super::{Failure, Settings, first_start, shutdown};
use crate::server;

pub async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let config = settings.config()?;
    let listener = listen(settings.bind, "MC_BIND")?;
    let metrics = settings.metrics_bind.map(|bind| listen(bind, "MC_METRICS_BIND")).transpose()?;
    tracing::debug!(?settings, "settings");
    let draining = shutdown::on_signal()?;
    let core = Core::open(config, World::real()).await?;
    first_start::announce(&core).await?;
    tracing::info!("serving http://{0}; Swagger UI at http://{0}/docs/", listener.local_addr()?);
    if let Some(metrics) = metrics {
        tokio::spawn(server::serve_metrics(metrics, draining.clone())?);
    }
    server::run(core, listener, settings.options(), draining).await?;
    tracing::info!("drained");
    Ok(ExitCode::SUCCESS)
}

fn listen(bind: std::net::SocketAddr, variable: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(bind).map_err(|error| {
        format!("Cannot listen on {bind} ({error}): set {variable} to a free address.").into()
    })
}
