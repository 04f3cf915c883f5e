//! `restore`: a backup into the data folder, and the quarantine of restored copies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use service::backup::{self, Existing, SealedBy, quarantine};
use service::config::Config;
use service::core::World;
use service::db::Db;
use service::secrets::MasterKeys;

use super::{Failure, Settings};

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Arguments {
    /// The backup.
    #[arg(group = "what")]
    file: Option<PathBuf>,
    /// Put a database that is there aside.
    #[arg(long, requires = "file")]
    replace: bool,
    /// Let the restored copy work: runs, schedules, mails.
    #[arg(long, group = "what")]
    confirm: bool,
    /// Seal off a database that other tools restored, before anything is started on it.
    #[arg(long, group = "what")]
    quarantine: bool,
}

pub async fn run(settings: Settings, arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = settings.config()?;
    let Arguments { file, replace, confirm: is_confirmed, quarantine: is_sealed_off } = arguments;
    match (file, is_confirmed, is_sealed_off) {
        (Some(file), ..) => restore(&config, &file, replace).await,
        (None, true, _) => confirm(&config).await,
        (None, false, true) => seal_off(&config).await,
        (None, false, false) => Err("Name a backup, or add --confirm or --quarantine.".into()),
    }
}

async fn restore(config: &Config, file: &Path, replace: bool) -> Result<ExitCode, Failure> {
    let World { clock, ids } = World::real();
    let existing = if replace { Existing::Replace } else { Existing::Refuse };
    let restored = backup::restore(file, &config.database, existing, &clock, &ids).await?;
    let contents = &restored.manifest.contents;
    println!(
        "Restored what was there at {}: {} tenants, {} runs, {} audit rows verified.",
        restored.manifest.taken_at.to_rfc3339(),
        contents.tenants,
        contents.runs,
        contents.audit_rows
    );
    if let Some(former) = restored.former {
        println!("The database of before is {}.", former.display());
    }
    for key in &contents.sealed_by {
        if !has(config, key)? {
            println!("The master key v{} is needed and is not here: give it before you start.", key.version);
        }
    }
    println!("It is quarantined: start it, look at it, then run `mission-control restore --confirm`.");
    Ok(ExitCode::SUCCESS)
}

/// Makes no key file: the right one may still be put there.
fn has(config: &Config, key: &SealedBy) -> Result<bool, Failure> {
    let path = config.master_key_file();
    if config.master_key.is_none() && !path.exists() {
        return Ok(false);
    }
    let keys = MasterKeys::from_env_or_file(config.master_key.as_ref(), &path, &World::real().ids)?;
    Ok(keys.fingerprint(key.version).as_ref() == Some(&key.fingerprint))
}

async fn confirm(config: &Config) -> Result<ExitCode, Failure> {
    let World { clock, ids } = World::real();
    let db = Db::connect_beside(&config.database).await?;
    let confirmed = quarantine::confirm(&db, &clock, &ids).await?;
    db.close().await;
    println!(
        "{}",
        if confirmed { "Confirmed: work begins within seconds." } else { "Nothing is quarantined." }
    );
    Ok(ExitCode::SUCCESS)
}

async fn seal_off(config: &Config) -> Result<ExitCode, Failure> {
    let World { clock, ids } = World::real();
    let db = Db::connect_beside(&config.database).await?;
    db.migrate().await?;
    quarantine::begin(&db, &clock, &ids).await?;
    db.close().await;
    println!("Quarantined: start it, look at it, then run `mission-control restore --confirm`.");
    Ok(ExitCode::SUCCESS)
}
