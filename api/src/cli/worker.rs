//! `worker`: the engine without the API.

use std::process::ExitCode;

use service::core::{Core, World};

use super::{Failure, Settings, shutdown};

pub async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let config = settings.config()?;
    let draining = shutdown::on_signal()?;
    let _core = Core::open(config, World::real()).await?;
    draining.cancelled().await;
    Ok(ExitCode::SUCCESS)
}
