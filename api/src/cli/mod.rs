//! The command line: one file a subcommand. What it reads, it checks before anything starts.

mod backup;
mod demo;
mod first_start;
mod keys;
mod log;
mod migrate;
mod node;
mod openapi;
mod remote;
mod restore;
mod run;
mod serve;
mod settings;
mod shutdown;
mod top;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use settings::Settings;

use crate::telemetry;

/// Why a command ended early, in a sentence for the operator.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A control plane for AI agents.
#[derive(Parser)]
#[command(name = "mission-control", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and execute runs (the default).
    Serve,
    /// Execute runs without serving the API.
    Worker,
    /// Bring the database's schema up to date, then end.
    Migrate,
    /// Print the OpenAPI document as YAML.
    Openapi,
    /// Rotate the keys of secrets and of access tokens, while servers serve.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Write a backup of the embedded database to a file, while it is served.
    Backup(backup::Arguments),
    /// Put a backup in the place of the embedded database, or confirm that a restored copy may work.
    Restore(restore::Arguments),
    /// Make a demo tenant, let an agent work, and serve.
    Demo(demo::Arguments),
    /// Watch the tenant's work in the terminal, over the API.
    Top(top::Arguments),
    /// Follow a run in the terminal, over the API.
    #[command(subcommand)]
    Run(run::Command),
}

/// Runs the command that the arguments name.
pub async fn main() -> ExitCode {
    let ended = match arguments() {
        Ok(Cli { command, settings }) => run(command.unwrap_or(Command::Serve), settings).await,
        Err(failure) => Err(failure),
    };
    telemetry::flush().await;
    ended.unwrap_or_else(|failure| {
        eprintln!("mission-control: {failure}");
        ExitCode::FAILURE
    })
}

/// What was asked for, with the file of settings that it names.
fn arguments() -> Result<Cli, Failure> {
    let asked = Cli::parse();
    match &asked.settings.config {
        None => Ok(asked),
        Some(path) => {
            let matches = settings::with_file(Cli::command(), path)?.get_matches();
            Ok(Cli::from_arg_matches(&matches)?)
        }
    }
}

async fn run(command: Command, settings: Settings) -> Result<ExitCode, Failure> {
    // What starts nothing here reads no settings.
    let command = match command {
        Command::Openapi => return openapi::run(),
        Command::Top(arguments) => return top::run(arguments).await,
        Command::Run(command) => return run::run(command).await,
        other => other,
    };
    log::start(&settings)?;
    settings::warn_unknown();
    match command {
        Command::Serve => serve::run(settings).await,
        Command::Worker => worker::run(settings).await,
        Command::Migrate => migrate::run(settings).await,
        Command::Openapi => openapi::run(),
        Command::Top(arguments) => top::run(arguments).await,
        Command::Run(command) => run::run(command).await,
        Command::Keys(keys) => keys::run(settings, keys).await,
        Command::Backup(arguments) => backup::run(settings, arguments).await,
        Command::Restore(arguments) => restore::run(settings, arguments).await,
        Command::Demo(arguments) => demo::run(settings, arguments).await,
    }
}
