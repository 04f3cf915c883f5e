//! Backups of the embedded database, taken while it serves, and what a restored copy may do.
//!
//! Invariants: a backup is one moment of the database, and it is either whole, by its own hash, or refused; a
//! restored copy does no work until somebody has confirmed it; the master key is never in a backup.

mod archive;
mod check;
pub mod quarantine;
mod restore;

use std::path::Path;

pub use archive::{Manifest, SealedBy};
pub use quarantine::Quarantine;
pub use restore::{Restored, restore};

use crate::clock::Clock;
use crate::db::Db;
use crate::error::{Error, Result};

/// What may stand where the backup is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    Replace,
}

/// Writes a backup of the database beside its server to `file`, checks it, and says what is in it. The file
/// appears as a whole or not at all, and only its owner may read it.
///
/// # Errors
/// [`Error::Conflict`] `exists`; [`Error::Invalid`] where the database is not SQLite, or is damaged.
pub async fn take(db: &Db, file: &Path, existing: Existing, clock: &Clock) -> Result<Manifest> {
    if existing == Existing::Refuse && file.exists() {
        return Err(Error::conflict("exists", format!("{} exists: name another file.", file.display())));
    }
    let copy = beside(file, "copy");
    let taken = async {
        archive::make_private(&copy)?;
        let taken_at = clock.now();
        db.copy_to(&copy).await?;
        let contents = check::check(&copy).await?;
        archive::write(&copy, file, taken_at, contents)
    };
    let taken = taken.await;
    let _ = std::fs::remove_file(&copy);
    taken
}

/// A file in the same folder, so that renaming it is one step.
fn beside(file: &Path, what: &str) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}
