//! Opaque credentials: a prefix that names the kind, more than 256 random bits, and a checksum.
//!
//! They are stored as SHA-256 only. The checksum refuses a mistyped or cut credential before
//! anything is looked up; it is no protection against guessing, the random part is.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::{Error, Result};
use crate::ids::Ids;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const RANDOM_CHARS: usize = 43;
/// 62^6 > 2^32.
const CHECKSUM_CHARS: usize = 6;

/// A refresh token: one use, then its session gives the next one.
pub const REFRESH_TOKEN: Kind = Kind {
    prefix: "mc_rt_",
    invalid_code: "invalid_refresh_token",
    invalid_detail: "The refresh token is not valid.",
};

/// What is sent to an e-mail address to prove that its holder reads it.
pub const VERIFICATION_TOKEN: Kind = Kind {
    prefix: "mc_vt_",
    invalid_code: "invalid_verification_token",
    invalid_detail: "The token is not valid, has expired or was used before.",
};

/// An invitation, sent to the address that is invited.
pub const INVITE_TOKEN: Kind = Kind {
    prefix: "mc_in_",
    invalid_code: "invalid_invite",
    invalid_detail: "The invitation is not valid, has ended or was answered before.",
};

/// A sign-in that waits for the second factor.
pub const CHALLENGE: Kind = Kind {
    prefix: "mc_ch_",
    invalid_code: "invalid_challenge",
    invalid_detail: "The challenge is not valid, has expired or was used before: sign in again.",
};

/// A request to an OpenID provider that is under way.
pub const OIDC_STATE: Kind = Kind {
    prefix: "mc_os_",
    invalid_code: "invalid_oidc_state",
    invalid_detail: "The state is not valid, has expired or was used before: begin again.",
};

/// The token in the URL of an inbound hook. Who sends a bad one is told that there is no such hook.
pub const HOOK_TOKEN: Kind =
    Kind { prefix: "mc_hk_", invalid_code: "credential_invalid", invalid_detail: "There is no such hook." };

/// One kind of credential: `<prefix>` + 43 random base62 characters + CRC-32 of all before it in
/// 6 base62 characters.
pub struct Kind {
    pub prefix: &'static str,
    pub(super) invalid_code: &'static str,
    pub(super) invalid_detail: &'static str,
}

/// SHA-256 of a whole credential. Compared in constant time only.
#[derive(Clone)]
pub struct Sha256Hash([u8; 32]);

impl Sha256Hash {
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// What is stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.ct_eq(stored).into()
    }
}

impl Kind {
    /// A new credential, to be shown once, and the hash to store.
    pub fn generate(&self, ids: &Ids) -> (SecretString, Sha256Hash) {
        let mut text = String::with_capacity(self.length());
        text.push_str(self.prefix);
        push_random(&mut text, ids);
        let checksum = checksum(&text);
        text.extend(checksum.map(char::from));
        let hash = Sha256Hash::of(&text);
        (SecretString::from(text), hash)
    }

    /// The hash to look up.
    ///
    /// # Errors
    /// [`Kind::invalid`] when the text cannot be a credential of this kind.
    pub fn parse(&self, text: &str) -> Result<Sha256Hash> {
        let well_formed = text.len() == self.length()
            && text.strip_prefix(self.prefix).is_some_and(|rest| rest.bytes().all(|b| BASE62.contains(&b)));
        let (body, given) =
            text.split_at_checked(text.len().saturating_sub(CHECKSUM_CHARS)).ok_or_else(|| self.invalid())?;
        if !well_formed || checksum(body) != given.as_bytes() {
            return Err(self.invalid());
        }
        Ok(Sha256Hash::of(text))
    }

    /// The one answer for a credential that is malformed, unknown, expired or revoked.
    pub fn invalid(&self) -> Error {
        Error::unauthenticated(self.invalid_code, self.invalid_detail)
    }

    fn length(&self) -> usize {
        self.prefix.len() + RANDOM_CHARS + CHECKSUM_CHARS
    }
}

/// Whether two secrets are equal, in a time that depends on their lengths only.
pub fn equal(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret().as_bytes().ct_eq(other.expose_secret().as_bytes()).into()
}

/// Bytes from 248 (4 × 62) up are skipped, so that every character is equally likely.
fn push_random(text: &mut String, ids: &Ids) {
    let mut bytes = zeroize::Zeroizing::new([0; 64]);
    let mut missing = RANDOM_CHARS;
    while missing > 0 {
        ids.fill(bytes.as_mut());
        for byte in bytes.iter().filter(|byte| **byte < 248).take(missing) {
            text.push(digit(u32::from(*byte)));
            missing -= 1;
        }
    }
}

/// CRC-32 (ISO-HDLC) in base62, most significant digit first.
fn checksum(text: &str) -> [u8; CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [0; CHECKSUM_CHARS];
    for place in digits.iter_mut().rev() {
        *place = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

fn digit(value: u32) -> char {
    char::from(BASE62[(value % 62) as usize])
}

#[cfg(test)]
mod tests;
