//! Secrets at rest: envelope encryption under a versioned master key.
//!
//! Each value is encrypted with a key of its own (AES-256-GCM), and that key is wrapped by the
//! master key. Both layers are bound to the value's [`Place`], so a sealed value that is copied to
//! another row, column or tenant does not open. Rotation wraps the value's key anew and never sees
//! the plaintext.

mod key_file;
mod master_key;
#[cfg(test)]
mod tests;

use std::path::Path;

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

/// The master keys of the installation. The first one seals; all of them open, so that a new key
/// can be made known to every node before any node seals with it.
pub struct MasterKeys {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

impl MasterKeys {
    /// Takes the keys from `text` (`MC_MASTER_KEY`), else from the file at `path`, which is made
    /// with a random key and mode 0600 when it does not exist.
    ///
    /// A key is 32 bytes in hex or base64, alone (then its version is `v1`) or as
    /// `v2:KEY,v1:KEY` with the sealing key first.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the variable or the file when a key is malformed or the file can
    /// be read by other users; [`Error::Internal`] when the file cannot be read or made.
    pub fn from_env_or_file(text: Option<&SecretString>, path: &Path, ids: &Ids) -> Result<Self> {
        match text {
            Some(text) => Self::parse(text, "MC_MASTER_KEY"),
            None => Self::parse(&key_file::read_or_create(path, ids)?, &path.display().to_string()),
        }
    }

    fn parse(text: &SecretString, source: &str) -> Result<Self> {
        let mut keys = MasterKey::parse_list(text)
            .map_err(|message| Error::invalid(source, "invalid_master_key", message))?
            .into_iter();
        let current = keys.next().ok_or_else(|| Error::internal("a key list is never empty"))?;
        Ok(Self { current, previous: keys.collect() })
    }

    /// Seals a value for its place. The bytes are: version of the master key (4, big endian), the
    /// value's key (nonce 12, wrapped key 32, tag 16), the value (nonce 12, ciphertext, tag 16).
    pub fn seal(&self, place: &Place, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut value_key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(value_key.as_mut()).map_err(|_| failed("make a key"))?;
        let value = encrypt(&cipher(&value_key)?, &place.associated_data(VALUE), plaintext)?;
        self.current.wrap(place, &value_key, &value)
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

    /// The same value wrapped by the current key, or `None` when it is already.
    pub fn rewrap(&self, place: &Place, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        if sealed.starts_with(&self.current.version().to_be_bytes()) {
            return Ok(None);
        }
        let (value_key, value) = self.unwrap_key(place, sealed)?;
        self.current.wrap(place, &value_key, value).map(Some)
    }

    /// A key for another use (signing cursors, …), by HKDF-SHA256 (RFC 5869) from the current
    /// master key: a rotation changes it.
    pub fn derive(&self, purpose: &'static str) -> Result<SecretBox<[u8; KEY_BYTES]>> {
        self.current.derive(purpose)
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
        let key = std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.version() == version)
            .ok_or_else(|| failed("find the master key's version"))?;
        Ok((key.unwrap(place, wrapped)?, value))
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
