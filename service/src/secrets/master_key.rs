//! One master key: how it is written, and the two keys made of it. The key itself is dropped
//! (and wiped) as soon as those are made.

use aws_lc_rs::aead::RandomizedNonceKey;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use zeroize::Zeroizing;

use super::{KEY_BYTES, Place, cipher, decrypt, encrypt, failed};
use crate::error::{Error, Result};

const MAX_KEYS: usize = 16;
/// 32 random bytes have fewer different values than this once in 10^35.
const MIN_DISTINCT_BYTES: usize = 8;

pub(super) struct MasterKey {
    /// From 1; stands in front of every value that the key sealed.
    version: u32,
    wrapping: RandomizedNonceKey,
    derivation: Prk,
}

impl MasterKey {
    /// `KEY` or `v2:KEY,v1:KEY`. The message of an error never contains the text.
    pub(super) fn parse_list(text: &SecretString) -> Result<Vec<Self>, String> {
        let mut keys: Vec<Self> = Vec::new();
        for entry in text.expose_secret().trim().split(',') {
            let (version, key) = entry.trim().split_once(':').unwrap_or(("v1", entry));
            let version = parse_version(version).ok_or("A key's version is written v1, v2, …")?;
            if keys.iter().any(|key| key.version == version) {
                return Err(format!("The version v{version} is given twice."));
            }
            if keys.len() == MAX_KEYS {
                return Err(format!("At most {MAX_KEYS} keys can be given."));
            }
            let key = parse_key(key.trim())?;
            keys.push(Self::new(version, &key).map_err(|error| error.to_string())?);
        }
        Ok(keys)
    }

    fn new(version: u32, key: &[u8; KEY_BYTES]) -> Result<Self> {
        let derivation = Salt::new(HKDF_SHA256, &[]).extract(key);
        let wrapping = cipher(expand(&derivation, &["wrap"])?.expose_secret())?;
        Ok(Self { version, wrapping, derivation })
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// The whole sealed form of an encrypted value.
    pub(super) fn wrap(&self, place: &Place, value_key: &[u8; KEY_BYTES], value: &[u8]) -> Result<Vec<u8>> {
        let wrapped = encrypt(&self.wrapping, &place.associated_data(self.version), value_key)?;
        Ok([self.version.to_be_bytes().as_slice(), &wrapped, value].concat())
    }

    pub(super) fn unwrap(&self, place: &Place, wrapped: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>> {
        let key = decrypt(&self.wrapping, &place.associated_data(self.version), wrapped)?;
        let key = <&[u8; KEY_BYTES]>::try_from(key.as_slice()).map_err(|_| failed("read its key"))?;
        Ok(Zeroizing::new(*key))
    }

    /// The first half of a derived key, in hex.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let derived = self.derive("fingerprint")?;
        let (half, _) = derived.expose_secret().split_at(KEY_BYTES / 2);
        Ok(half.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn derive(&self, purpose: &'static str) -> Result<SecretBox<[u8; KEY_BYTES]>> {
        expand(&self.derivation, &["derive ", purpose])
    }
}

fn expand(derivation: &Prk, info: &[&'static str]) -> Result<SecretBox<[u8; KEY_BYTES]>> {
    let info: Vec<&[u8]> = info.iter().map(|part| part.as_bytes()).collect();
    let derive = |out: &mut [u8; KEY_BYTES]| derivation.expand(&info, HKDF_SHA256)?.fill(out);
    let mut outcome = Ok(());
    let key = SecretBox::init_with_mut(|out| outcome = derive(out));
    outcome.map_err(|_| Error::internal("a key could not be derived")).map(|()| key)
}

/// `v1`, `v2`, …
fn parse_version(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v')?;
    let version: u32 = digits.parse().ok()?;
    // The databases' numbers have a sign.
    let fits = i32::try_from(version).is_ok();
    (fits && version > 0 && !digits.starts_with(['0', '+'])).then_some(version)
}

fn parse_key(text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, String> {
    let bytes = Zeroizing::new(decode_hex(text).or_else(|| decode_base64(text)).unwrap_or_default());
    let key = <&[u8; KEY_BYTES]>::try_from(bytes.as_slice())
        .map_err(|_| "A key is 32 random bytes in hex or base64: make one with `openssl rand -hex 32`.")?;
    let mut distinct = Zeroizing::new(*key);
    distinct.sort_unstable();
    if distinct.chunk_by(|a, b| a == b).count() < MIN_DISTINCT_BYTES {
        return Err("The key is not random: make one with `openssl rand -hex 32`.".to_owned());
    }
    Ok(Zeroizing::new(*key))
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.last()?)?)).collect()
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(unpadded)).ok()
}
