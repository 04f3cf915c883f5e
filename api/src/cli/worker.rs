//! `worker`: the engine without the API.

use std::process::ExitCode;

use super::node::Node;
use super::{Failure, Settings, shutdown};

pub async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let draining = shutdown::on_signal()?;
    let node = Node::start(settings.config()?).await?;
    tracing::info!("executing runs");
    node.until(draining).await;
    Ok(ExitCode::SUCCESS)
}
