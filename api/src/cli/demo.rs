//! `demo`: a tenant, an agent and a run to watch.

use std::process::ExitCode;

use clap::Args;

use super::{Failure, Settings, serve};

#[derive(Args)]
pub struct Arguments {
    /// End after the run, with status 0 only if it is COMPLETED.
    #[arg(long)]
    pub exit: bool,
}

pub async fn run(settings: Settings, arguments: Arguments) -> Result<ExitCode, Failure> {
    if arguments.exit { Err("there is no demo yet".into()) } else { serve::run(settings).await }
}
