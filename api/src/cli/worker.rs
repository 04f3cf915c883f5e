//! `worker`: the engine without the API.

use std::process::ExitCode;

use super::node::Node;
use super::{Failure, Settings, serve, shutdown};
use crate::server;

pub async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let draining = shutdown::on_signal()?;
    if let Some(metrics) = serve::metrics_listener(&settings)? {
        tokio::spawn(server::serve_metrics(metrics, draining.clone())?);
    }
    let node = Node::start(settings.config()?).await?;
    tracing::info!("executing runs");
    node.until(draining).await;
    Ok(ExitCode::SUCCESS)
}
