//! The file of a backup: one line of JSON that says what follows, then the bytes of a SQLite database.
//! `tail -n +2 FILE` gives the database to any other tool.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::beside;
use crate::error::{Error, Result};

const FORMAT: &str = "mission-control-backup/1";
const LONGEST_MANIFEST: u64 = 1 << 20;
const CHUNK: usize = 1 << 20;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: String,
    /// Of the program that took it.
    pub version: String,
    pub taken_at: DateTime<Utc>,
    /// Of the database that follows.
    pub bytes: u64,
    /// Of this line as it is with an empty hash, and of the database; in hex.
    pub sha256: String,
    #[serde(flatten)]
    pub contents: Contents,
}

/// What was found in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The migrations of its schema, in order.
    pub migrations: Vec<String>,
    pub tenants: u64,
    pub runs: u64,
    /// All of them were verified.
    pub audit_rows: u64,
    /// The master keys that its secrets are sealed with, which are not in it.
    pub sealed_by: Vec<SealedBy>,
}

/// A master key, by what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBy {
    pub version: u32,
    pub fingerprint: String,
}

/// An empty file that only its owner may read.
pub fn make_private(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(|error| problem(path, "written", &error))
}

/// Puts the manifest and the copy into `file`, which appears once all of it is on the disk.
pub fn write(copy: &Path, file: &Path, taken_at: DateTime<Utc>, contents: Contents) -> Result<Manifest> {
    let broken = |error: std::io::Error| problem(file, "written", &error);
    let mut body = open(copy)?;
    let bytes = body.metadata().map_err(broken)?.len();
    let (format, version) = (FORMAT.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let mut manifest = Manifest { format, version, taken_at, bytes, sha256: String::new(), contents };
    (_, manifest.sha256) = hash_into(&manifest, &mut body, &mut std::io::sink()).map_err(broken)?;
    let partial = beside(file, "partial");
    let write = || -> std::io::Result<()> {
        let private = make_private(&partial).map_err(std::io::Error::other)?;
        let mut out = BufWriter::with_capacity(CHUNK, private);
        serde_json::to_writer(&mut out, &manifest)?;
        out.write_all(b"\n")?;
        std::io::copy(&mut File::open(copy)?, &mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, file)?;
        sync_folder(file)
    };
    write().map_err(broken)?;
    Ok(manifest)
}

/// Puts the database of a backup at `copy` and checks that it is the one that was written.
///
/// # Errors
/// [`Error::Invalid`] where the file is no backup, or not what it was.
pub fn unpack(file: &Path, copy: &Path) -> Result<Manifest> {
    let refuse =
        |message: &str| Error::invalid(file.display().to_string(), "invalid_backup", message.to_owned());
    let broken = |error: std::io::Error| problem(file, "read", &error);
    let mut reader = BufReader::with_capacity(CHUNK, open(file)?);
    let mut line = Vec::new();
    reader.by_ref().take(LONGEST_MANIFEST).read_until(b'\n', &mut line).map_err(broken)?;
    let manifest: Manifest = serde_json::from_slice(&line)
        .map_err(|_| refuse("This is no backup, or its first line is damaged."))?;
    if manifest.format != FORMAT {
        return Err(refuse("This backup has a format that this version does not know."));
    }
    let mut out = make_private(copy)?;
    // One byte more than there may be shows that there are more.
    let mut body = reader.take(manifest.bytes.saturating_add(1));
    let (bytes, sha256) = hash_into(&manifest, &mut body, &mut out).map_err(broken)?;
    out.sync_all().map_err(broken)?;
    if (bytes, sha256) != (manifest.bytes, manifest.sha256.clone()) {
        return Err(refuse("The backup is damaged: its hash is not the one that was written."));
    }
    Ok(manifest)
}

/// The folder's entry of a file that was renamed.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| problem(path, "read", &error))
}

/// The number of bytes that were copied, and the hash of them behind the manifest.
fn hash_into(
    manifest: &Manifest,
    from: &mut impl Read,
    to: &mut impl Write,
) -> std::io::Result<(u64, String)> {
    let unhashed = Manifest { sha256: String::new(), ..manifest.clone() };
    let mut hasher = Sha256::new_with_prefix(serde_json::to_vec(&unhashed)?);
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok((bytes, hash));
        }
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        bytes += u64::try_from(read).unwrap_or_default();
    }
}

fn problem(path: &Path, doing: &str, error: &std::io::Error) -> Error {
    Error::internal(format!("{} cannot be {doing}: {error}", path.display()))
}
