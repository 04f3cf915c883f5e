//! `backup FILE`: beside a server that goes on serving.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use service::backup::{self, Existing};
use service::core::World;
use service::db::Db;

use super::{Failure, Settings};

#[derive(Args)]
pub struct Arguments {
    /// Where the backup is written.
    file: PathBuf,
    /// Replace a backup that is there already.
    #[arg(long)]
    replace: bool,
}

pub async fn run(settings: Settings, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { file, replace } = arguments;
    let config = settings.config()?;
    let db = Db::connect_beside(&config.database).await?;
    let existing = if replace { Existing::Replace } else { Existing::Refuse };
    let taken = backup::take(&db, &file, existing, &World::real().clock).await?;
    db.close().await;
    let contents = &taken.contents;
    println!(
        "{}: {} bytes of {}; {} tenants, {} runs, {} audit rows verified.",
        file.display(),
        taken.bytes,
        taken.taken_at.to_rfc3339(),
        contents.tenants,
        contents.runs,
        contents.audit_rows
    );
    let keys: Vec<String> = contents.sealed_by.iter().map(|key| format!("v{}", key.version)).collect();
    println!("The master key ({}) is not in it: keep it apart, or the secrets are lost.", keys.join(", "));
    Ok(ExitCode::SUCCESS)
}
