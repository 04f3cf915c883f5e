//! The key file that stands in for `MC_MASTER_KEY`. Only its owner may read it, and it is on the
//! disk before anything is sealed with it: losing it loses every sealed value.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::KEY_BYTES;
use crate::error::{Error, Result};
use crate::ids::Ids;

const MAX_BYTES: u64 = 4096;

/// The text of the file, which is made with a random key when there is none.
pub(super) fn read_or_create(path: &Path, ids: &Ids) -> Result<SecretString> {
    let problem = |error: std::io::Error| {
        Error::internal(format!("the key file {} cannot be made: {error}", path.display()))
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => create(file, path, ids).map_err(problem)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
        Err(error) => return Err(problem(error)),
    }
    read(path)
}

/// The text of the file.
pub(super) fn read(path: &Path) -> Result<SecretString> {
    let problem = |error: std::io::Error| {
        Error::internal(format!("the key file {} cannot be read: {error}", path.display()))
    };
    let file = File::open(path).map_err(problem)?;
    let metadata = file.metadata().map_err(problem)?;
    let refuse =
        |message: String| Err(Error::invalid(path.display().to_string(), "unsafe_key_file", message));
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return refuse("This is not a key file.".to_owned());
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return refuse(format!("Other users can reach the key file: run `chmod 600 {}`.", path.display()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(problem)?;
    Ok(SecretString::from(text.trim()))
}

/// Puts a random key of this version in front of the others. The file is never half written: a copy
/// takes its place once it is on the disk.
pub(super) fn prepend(path: &Path, version: u32, ids: &Ids) -> Result<()> {
    let known = read(path)?;
    let known = known.expose_secret();
    // A key alone has the version 1.
    let known = Zeroizing::new(if known.contains(':') { known.to_owned() } else { format!("v1:{known}") });
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    ids.fill(key.as_mut());
    let text = Zeroizing::new(format!("v{version}:{},{}\n", STANDARD.encode(*key), *known));
    let copy = path.with_extension("key.new");
    let write = || -> std::io::Result<()> {
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy);
        let mut file = options?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&copy, path)?;
        sync_folder(path)
    };
    write().map_err(|error| {
        Error::internal(format!("the key file {} cannot be written: {error}", path.display()))
    })
}

/// Held by the one rotation that may change the file.
pub(super) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path.with_extension("key.lock")).map_err(Error::internal)?;
    file.try_lock().map_err(|_| {
        Error::conflict(
            "rotation_in_progress",
            "Another rotation is changing the key file: wait for its end.",
        )
    })?;
    Ok(file)
}

fn create(mut file: File, path: &Path, ids: &Ids) -> std::io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    ids.fill(key.as_mut());
    let text = Zeroizing::new(format!("v1:{}\n", STANDARD.encode(*key)));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
