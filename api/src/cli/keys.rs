//! `keys`: the master key and the keys of access tokens, beside servers that go on serving.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use service::auth::signing::Signing;
use service::core::World;
use service::db::Db;
use service::secrets::rotation::{self, Rotation};
use service::secrets::{MasterKeys, known};

use super::{Failure, Settings};

#[derive(Subcommand)]
pub enum Keys {
    /// Seal everything with another master key: the first one in MC_MASTER_KEY, or a new one in the key file.
    Rotate {
        /// How long serving nodes are waited for.
        #[arg(long, default_value_t = 60)]
        wait_seconds: u64,
    },
    /// Let another key sign access tokens.
    RotateSigning {
        /// Refuse every token that was signed before, which is for a key that somebody else may have.
        #[arg(long)]
        at_once: bool,
    },
    /// Say how many secrets each master key has sealed.
    Show,
}

pub async fn run(settings: Settings, keys: Keys) -> Result<ExitCode, Failure> {
    let config = settings.config()?;
    let World { clock, ids } = World::real();
    let db = Db::connect_beside(&config.database).await?;
    if !db.is_migrated().await? {
        return Err("The schema is not the one of this version: run `mission-control migrate` first.".into());
    }
    let master = MasterKeys::from_env_or_file(config.master_key.as_ref(), &config.master_key_file(), &ids)?;
    let lock = matches!(keys, Keys::Rotate { .. }).then(|| master.lock()).transpose()?;
    known::adopt(&db, &master, &clock).await?;
    match keys {
        Keys::Rotate { wait_seconds } => {
            let target = target(&db, &master, &ids).await?;
            let rotation = Rotation {
                db: &db,
                keys: &master,
                clock: &clock,
                patience: Duration::from_secs(wait_seconds),
            };
            let done = rotation.to(target).await?;
            println!(
                "v{} seals; {} secrets were sealed anew, and none is left under another key.",
                done.version, done.values
            );
            println!("Keep the older keys as long as you keep backups from before.");
        }
        Keys::RotateSigning { at_once } => {
            let signing = Signing { db: &db, keys: &master, clock: &clock, ids: &ids };
            let key = signing.rotate(at_once).await?;
            println!("The key {} signs access tokens from {} on.", key.kid, key.signs_from.to_rfc3339());
        }
        Keys::Show => {
            println!("v{} seals.", master.seals_with());
            for rotation::Count { column, version, values } in rotation::counts(&db).await? {
                println!("{}.{}: {values} under v{version}", column.table, column.column);
            }
        }
    }
    drop(lock);
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

/// A rotation that was broken off, or not begun, goes on; else a new key is made.
async fn target(db: &Db, master: &MasterKeys, ids: &service::ids::Ids) -> Result<u32, Failure> {
    let first = master.first();
    let counts = rotation::counts(db).await?;
    if first != master.seals_with() || counts.iter().any(|count| count.version != first) {
        return Ok(first);
    }
    Ok(master.add_to_file(ids)?)
}
