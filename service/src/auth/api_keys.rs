//! The format of API keys: `mc_live_` and an opaque credential (see [`super::opaque`]).
//!
//! The full key is shown once. The prefix and the last four characters are kept in clear so that
//! people can tell their keys apart; at least 190 bits stay unknown.

use secrecy::{ExposeSecret as _, SecretString};

use super::opaque::{Kind, Sha256Hash};
use crate::error::Result;
use crate::ids::Ids;

pub const API_KEY: Kind =
    Kind { prefix: "mc_live_", invalid_code: "invalid_api_key", invalid_detail: "The API key is not valid." };

const SHOWN_RANDOM_CHARS: usize = 4;

/// A new API key: the secret to show once, and what is stored.
pub struct ApiKeySecret {
    pub secret: SecretString,
    /// `mc_live_` and four characters.
    pub prefix: String,
    pub last4: String,
    pub hash: Sha256Hash,
}

impl ApiKeySecret {
    pub fn generate(ids: &Ids) -> Self {
        let (secret, hash) = API_KEY.generate(ids);
        let text = secret.expose_secret();
        let prefix = text.chars().take(API_KEY.prefix.len() + SHOWN_RANDOM_CHARS).collect();
        let last4 = text.chars().skip(text.len() - 4).collect();
        Self { secret, prefix, last4, hash }
    }
}

/// Whether a bearer credential is meant as an API key, not as a JWT.
pub fn is_api_key(credential: &str) -> bool {
    credential.starts_with(API_KEY.prefix)
}

/// The hash to look up. See [`Kind::parse`].
pub fn parse(text: &str) -> Result<Sha256Hash> {
    API_KEY.parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_key_is_recognised_by_its_shown_parts() {
        let key = ApiKeySecret::generate(&Ids::seeded(Clock::manual(chrono::DateTime::UNIX_EPOCH), 1));
        let text = key.secret.expose_secret();
        assert_eq!(text.len(), 57);
        assert_eq!((key.prefix.len(), key.last4.len()), (12, 4));
        assert!(text.starts_with(&key.prefix) && text.ends_with(&key.last4));
        assert!(is_api_key(text) && !is_api_key("eyJhbGciOiJFZERTQSJ9.e30.c2ln"));
        assert!(parse(text).unwrap().matches(key.hash.as_bytes()));
    }
}
