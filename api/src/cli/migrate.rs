//! `migrate`: brings the schema up to date and ends.

use std::process::ExitCode;

use service::db::Db;

use super::{Failure, Settings};

pub async fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let config = settings.config()?;
    Db::connect(&config.database).await?.migrate().await?;
    tracing::info!("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}
