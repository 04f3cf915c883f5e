//! `serve`: the API and the engine in one process.

use std::net::TcpListener;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::node::Node;
use super::{Failure, Settings, shutdown};
use crate::server;

pub async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let draining = shutdown::on_signal()?;
    let front = Front::open(&settings)?;
    let node = Node::start(settings.config()?).await?;
    println!("Mission Control serves {0}; Swagger UI is at {0}/docs/", front.url()?);
    front.serve(node, &settings, draining).await?;
    Ok(ExitCode::SUCCESS)
}

/// The addresses that a server listens at, taken before anything else is done.
pub struct Front {
    listener: TcpListener,
    metrics: Option<TcpListener>,
}

impl Front {
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let listener = listen(settings.bind, "MC_BIND")?;
        let metrics = metrics_listener(settings)?;
        tracing::debug!(?settings, "settings");
        Ok(Self { listener, metrics })
    }

    pub fn url(&self) -> Result<String, Failure> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves until the token is cancelled; then requests and runs in flight end side by side.
    pub async fn serve(
        self,
        node: Node,
        settings: &Settings,
        draining: CancellationToken,
    ) -> Result<(), Failure> {
        if let Some(metrics) = self.metrics {
            tokio::spawn(server::serve_metrics(metrics, draining.clone())?);
        }
        let server = server::run(node.core.clone(), self.listener, settings.options(), draining.clone());
        let (served, ()) = tokio::join!(server, node.until(draining));
        tracing::info!("drained");
        Ok(served?)
    }
}

/// The address of `/metrics`, where it has one of its own.
pub fn metrics_listener(settings: &Settings) -> Result<Option<TcpListener>, Failure> {
    settings.metrics_bind.map(|bind| listen(bind, "MC_METRICS_BIND")).transpose()
}

fn listen(bind: std::net::SocketAddr, variable: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(bind).map_err(|error| {
        format!("Cannot listen on {bind} ({error}): set {variable} to a free address.").into()
    })
}
