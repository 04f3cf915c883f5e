//! Secrets at rest: envelope encryption under a versioned master key.
//!
//! Each value is encrypted with a key of its own (AES-256-GCM), and that key is wrapped by the
//! master key. Both layers are bound to the value's [`Place`], so a sealed value that is copied to
//! another row, column or tenant does not open. Rotation wraps the value's key anew and never sees
//! the plaintext.
//!
//! Which of the keys seals is written in the database (see [`known`]), so that nodes change over together.

mod key_file;
pub mod known;
mod master_key;
pub mod rotation;
pub mod sealed;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use secrecy::{ExposeSecret as _, SecretBox, SecretSlice, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ids::Ids;
use master_key::MasterKey;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const WRAPPED_KEY_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;
/// The layer of the value itself; versions of master keys start at 1.
const VALUE: u32 = 0;

/// Where a sealed value lives. It opens nowhere else.
#[derive(Clone, Copy)]
pub struct Place {
    /// The nil id for what belongs to the whole installation.
    pub tenant: Uuid,
    pub table: &'static str,
    pub column: &'static str,
    pub row: Uuid,
}

impl Place {
    /// Associated data; what has no fixed length is prefixed with it, so no two places have the
    /// same bytes. `layer` is the version of the master key, or [`VALUE`].
    fn associated_data(&self, layer: u32) -> Vec<u8> {
        let mut data = Vec::with_capacity(96);
        data.extend_from_slice(self.tenant.as_bytes());
        data.extend_from_slice(self.row.as_bytes());
        data.extend_from_slice(&layer.to_be_bytes());
        for part in [self.table, self.column] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// The master keys of the installation. One seals, all of them open, so that a new key can be made known
/// to every node before any node seals with it.
pub struct MasterKeys {
    ring: RwLock<Arc<Ring>>,
    source: Source,
}

/// The keys in the order in which they were given.
struct Ring {
    keys: Vec<Arc<MasterKey>>,
    /// The version that seals.
    seals: u32,
}

/// Where the keys came from.
enum Source {
    Given,
    File(PathBuf),
}

impl MasterKeys {
    /// Takes the keys from `text` (`MC_MASTER_KEY`), else from the file at `path`, which is made
    /// with a random key and mode 0600 when it does not exist.
    ///
    /// A key is 32 bytes in hex or base64, alone (then its version is `v1`) or as
    /// `v2:KEY,v1:KEY`. The first one is the one that a rotation goes to.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the variable or the file when a key is malformed or the file can
    /// be read by other users; [`Error::Internal`] when the file cannot be read or made.
    pub fn from_env_or_file(text: Option<&SecretString>, path: &Path, ids: &Ids) -> Result<Self> {
        match text {
            Some(text) => Self::parse(text, "MC_MASTER_KEY"),
            None => {
                let keys = Self::parse(&key_file::read_or_create(path, ids)?, &path.display().to_string())?;
                Ok(Self { source: Source::File(path.to_owned()), ..keys })
            }
        }
    }

    fn parse(text: &SecretString, source: &str) -> Result<Self> {
        let keys = MasterKey::parse_list(text)
            .map_err(|message| Error::invalid(source, "invalid_master_key", message))?;
        let seals = keys.first().map(MasterKey::version);
        let seals = seals.ok_or_else(|| Error::internal("a key list is never empty"))?;
        let keys = keys.into_iter().map(Arc::new).collect();
        Ok(Self { ring: RwLock::new(Arc::new(Ring { keys, seals })), source: Source::Given })
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// The version that a rotation goes to.
    pub fn first(&self) -> u32 {
        let ring = self.ring();
        ring.keys.first().map_or(ring.seals, |key| key.version())
    }

    /// In ascending order.
    pub fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = self.ring().keys.iter().map(|key| key.version()).collect();
        versions.sort_unstable();
        versions
    }

    /// The version that seals.
    pub fn seals_with(&self) -> u32 {
        self.ring().seals
    }

    /// Seals with this version from now on; `false` when it is not known here.
    pub fn seal_with(&self, version: u32) -> bool {
        let ring = self.ring();
        let is_known = ring.find(version).is_some();
        if is_known && ring.seals != version {
            self.replace(Ring { keys: ring.keys.clone(), seals: version });
        }
        is_known
    }

    /// What tells whether two keys of one version are the same; nothing of the key can be learned from it.
    pub fn fingerprint(&self, version: u32) -> Option<String> {
        self.ring().find(version)?.fingerprint().ok()
    }

    /// Looks into the key file again, if the keys came from one: a rotation may have put a key there.
    ///
    /// # Errors
    /// As [`MasterKeys::from_env_or_file`]; the known keys stay.
    pub fn read_again(&self) -> Result<()> {
        let Source::File(path) = &self.source else { return Ok(()) };
        let read = Self::parse(&key_file::read(path)?, &path.display().to_string())?;
        let (seals, ring) = (self.seals_with(), read.ring());
        if ring.find(seals).is_none() {
            return Err(failed("find the sealing key in the key file"));
        }
        self.replace(Ring { keys: ring.keys.clone(), seals });
        Ok(())
    }

    /// Puts a new random key, which a rotation goes to, into the key file.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the keys are given by `MC_MASTER_KEY`, which nobody but the operator changes.
    pub fn add_to_file(&self, ids: &Ids) -> Result<u32> {
        let Source::File(path) = &self.source else {
            let message = "Put a new key in front of the others (v2:NEW,v1:OLD), give it to every node, and \
                           run this again.";
            return Err(Error::invalid("MC_MASTER_KEY", "no_new_key", message));
        };
        let version = self.versions().last().map_or(1, |last| last.saturating_add(1));
        key_file::prepend(path, version, ids)?;
        self.read_again()?;
        Ok(version)
    }

    /// Held by the one rotation that may change the key file, where there is one.
    pub fn lock(&self) -> Result<Option<std::fs::File>> {
        match &self.source {
            Source::Given => Ok(None),
            Source::File(path) => key_file::lock(path).map(Some),
        }
    }

    /// Seals a value for its place. The bytes are: version of the master key (4, big endian), the
    /// value's key (nonce 12, wrapped key 32, tag 16), the value (nonce 12, ciphertext, tag 16).
    pub fn seal(&self, place: &Place, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut value_key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(value_key.as_mut()).map_err(|_| failed("make a key"))?;
        let value = encrypt(&cipher(&value_key)?, &place.associated_data(VALUE), plaintext)?;
        self.ring().sealing()?.wrap(place, &value_key, &value)
    }

    /// # Errors
    /// [`Error::Internal`] when the value was changed, belongs to another place, or was sealed
    /// with a key that is not configured.
    pub fn open(&self, place: &Place, sealed: &[u8]) -> Result<SecretSlice<u8>> {
        let (value_key, value) = self.unwrap_key(place, sealed)?;
        let mut plaintext = decrypt(&cipher(&value_key)?, &place.associated_data(VALUE), value)?;
        Ok(SecretSlice::from(std::mem::take(&mut *plaintext)))
    }

    /// [`MasterKeys::open`] for a value that is text.
    pub fn open_text(&self, place: &Place, sealed: &[u8]) -> Result<SecretString> {
        let bytes = self.open(place, sealed)?;
        let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| failed("read the text"))?;
        Ok(SecretString::from(text))
    }

    /// The same value wrapped by the sealing key, or `None` when it is already.
    pub fn rewrap(&self, place: &Place, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        let ring = self.ring();
        if sealed.starts_with(&ring.seals.to_be_bytes()) {
            return Ok(None);
        }
        let (value_key, value) = self.unwrap_key(place, sealed)?;
        ring.sealing()?.wrap(place, &value_key, value).map(Some)
    }

    /// Keys for another use (signing cursors, …), by HKDF-SHA256 (RFC 5869), one of each master key: the
    /// sealing one's first, so that what was signed before a rotation is still known after it.
    pub fn derive(&self, purpose: &'static str) -> Result<Vec<SecretBox<[u8; KEY_BYTES]>>> {
        let ring = self.ring();
        let others = ring.keys.iter().filter(|key| key.version() != ring.seals);
        std::iter::once(ring.sealing()?).chain(others).map(|key| key.derive(purpose)).collect()
    }

    /// The value's key and the encrypted value.
    fn unwrap_key<'a>(
        &self,
        place: &Place,
        sealed: &'a [u8],
    ) -> Result<(Zeroizing<[u8; KEY_BYTES]>, &'a [u8])> {
        let malformed = || failed("read the format");
        let (version, rest) = sealed.split_first_chunk().ok_or_else(malformed)?;
        let (wrapped, value) = rest.split_at_checked(WRAPPED_KEY_BYTES).ok_or_else(malformed)?;
        let version = u32::from_be_bytes(*version);
        let ring = self.ring();
        let key = ring.find(version).ok_or_else(|| failed("find the master key's version"))?;
        Ok((key.unwrap(place, wrapped)?, value))
    }
}

impl Ring {
    fn find(&self, version: u32) -> Option<&Arc<MasterKey>> {
        self.keys.iter().find(|key| key.version() == version)
    }

    fn sealing(&self) -> Result<&Arc<MasterKey>> {
        self.find(self.seals).ok_or_else(|| failed("find the sealing key"))
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| failed("set up the cipher"))
}

/// Nonce, ciphertext, tag. The nonce is the library's own random one: a seeded [`Ids`] would
/// repeat it.
fn encrypt(cipher: &RandomizedNonceKey, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    buffer.extend_from_slice(plaintext);
    let nonce =
        cipher.seal_in_place_append_tag(Aad::from(associated), &mut buffer).map_err(|_| failed("seal"))?;
    Ok([nonce.as_ref().as_slice(), &buffer].concat())
}

fn decrypt(cipher: &RandomizedNonceKey, associated: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let open = || -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = cipher.open_in_place(nonce, Aad::from(associated), &mut buffer)?.len();
        buffer.truncate(length);
        Ok(buffer)
    };
    open().map_err(|_| failed("authenticate it"))
}

fn failed(step: &'static str) -> Error {
    Error::internal(format!("sealed value: could not {step}"))
}
