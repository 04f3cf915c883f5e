//! Putting a backup in the place of the embedded database. Everything is done to a copy beside it, which takes
//! its place as the last step: before that nothing is changed, after it the copy is quarantined.

use std::path::{Path, PathBuf};

use super::archive::{self, Manifest};
use super::{Existing, beside, check, quarantine};
use crate::clock::Clock;
use crate::db::{DatabaseConfig, Db};
use crate::error::{Error, Result};
use crate::ids::Ids;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    /// Where the database of before was put aside.
    pub former: Option<PathBuf>,
}

/// # Errors
/// [`Error::Conflict`] `exists` where there is a database; [`Error::Invalid`] for a backup that is damaged,
/// incomplete or of a newer version; [`Error::Internal`] while a server uses the database.
pub async fn restore(
    file: &Path,
    config: &DatabaseConfig,
    existing: Existing,
    clock: &Clock,
    ids: &Ids,
) -> Result<Restored> {
    let (target, _lock) = config.lock_file()?;
    if existing == Existing::Refuse && target.exists() {
        let message = format!("{} exists: name another folder, or add --replace.", target.display());
        return Err(Error::conflict("exists", message));
    }
    let copy = beside(&target, "restored");
    remove(&copy);
    let prepared = prepare(file, &copy, clock, ids).await;
    let moved = prepared.and_then(|manifest| {
        let former = put_aside(&target, clock)?;
        std::fs::rename(&copy, &target).map_err(Error::internal)?;
        archive::sync_folder(&target).map_err(Error::internal)?;
        Ok(Restored { manifest, former })
    });
    remove(&copy);
    moved
}

async fn prepare(file: &Path, copy: &Path, clock: &Clock, ids: &Ids) -> Result<Manifest> {
    let manifest = archive::unpack(file, copy)?;
    if check::check(copy).await? != manifest.contents {
        let message = "The backup does not hold what its first line says.";
        return Err(Error::invalid(file.display().to_string(), "invalid_backup", message));
    }
    let db = Db::connect_beside(&DatabaseConfig::of_file(copy)).await?;
    let ready = async {
        db.migrate().await?;
        quarantine::begin(&db, clock, ids).await?;
        db.checkpoint().await
    };
    let ready = ready.await;
    db.close().await;
    ready?;
    std::fs::File::open(copy).and_then(|copy| copy.sync_all()).map_err(Error::internal)?;
    Ok(manifest)
}

/// The write-ahead log goes first: behind another database it would be taken for that one's.
fn put_aside(target: &Path, clock: &Clock) -> Result<Option<PathBuf>> {
    let existed = target.exists();
    let former = beside(target, &format!("before-{}", clock.now().format("%Y%m%dT%H%M%S%3fZ")));
    for end in ["-wal", "-shm", ""] {
        let (from, to) = (with_end(target, end), with_end(&former, end));
        if from.exists() {
            std::fs::rename(from, to).map_err(Error::internal)?;
        }
    }
    Ok(existed.then_some(former))
}

fn remove(copy: &Path) {
    for end in ["-wal", "-shm", ""] {
        let _ = std::fs::remove_file(with_end(copy, end));
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
