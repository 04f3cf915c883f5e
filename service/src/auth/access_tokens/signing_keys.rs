//! Ed25519 keys of access tokens (RFC 8037). The private key leaves only as PKCS#8 to be sealed;
//! a key's id is its thumbprint (RFC 7638), so two nodes never disagree about it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::ids::Ids;

/// More keys than a rotation needs at once: the next, the current and the retired ones.
pub const MAX_KEYS: usize = 16;

/// A public key that verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: String,
    jwk: Jwk,
    pub(super) decoding: DecodingKey,
}

impl VerifyingKey {
    /// # Errors
    /// [`Error::Internal`] when these are not the 32 bytes of a public key.
    pub fn from_public(public: &[u8]) -> Result<Self> {
        install_crypto_provider();
        let decoding =
            DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(public)).map_err(Error::internal)?;
        let mut jwk = Jwk::from_decoding_key(&decoding, Some(Algorithm::EdDSA)).map_err(Error::internal)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(Error::internal)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { kid, jwk, decoding })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The 32 bytes for [`VerifyingKey::from_public`].
    pub fn public(&self) -> Result<&[u8]> {
        self.decoding.try_get_as_bytes().map_err(Error::internal)
    }

    /// `{"kty": "OKP", "crv": "Ed25519", "x", "kid", "alg": "EdDSA", "use": "sig"}`.
    pub fn jwk(&self) -> Result<serde_json::Value> {
        serde_json::to_value(&self.jwk).map_err(Error::internal)
    }
}

/// A private key that signs, with its public half.
pub struct SigningKey {
    pub(super) encoding: EncodingKey,
    verifying: VerifyingKey,
}

impl SigningKey {
    pub fn generate(ids: &Ids) -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        ids.fill(seed.as_mut());
        Self::from_pair(&Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(Error::internal)?)
    }

    /// # Errors
    /// [`Error::Internal`] when this is not the PKCS#8 form of an Ed25519 key (RFC 8410).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        Self::from_pair(&Ed25519KeyPair::from_pkcs8(der).map_err(Error::internal)?)
    }

    fn from_pair(pair: &Ed25519KeyPair) -> Result<Self> {
        let pkcs8 = pair.to_pkcs8v1().map_err(Error::internal)?;
        Ok(Self {
            encoding: EncodingKey::from_ed_der(pkcs8.as_ref()),
            verifying: VerifyingKey::from_public(pair.public_key().as_ref())?,
        })
    }

    /// The private key, to be sealed before it is stored.
    pub fn to_pkcs8(&self) -> SecretSlice<u8> {
        SecretSlice::from(self.encoding.as_bytes().to_vec())
    }

    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }

    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }
}

/// The keys that sign, each from a time on, those that only verify, and those that are retired: of them no
/// token is left, only statements.
pub struct SigningKeys {
    /// The latest first.
    signing: Vec<(DateTime<Utc>, SigningKey)>,
    others: Vec<VerifyingKey>,
    retired: Vec<VerifyingKey>,
}

impl SigningKeys {
    pub fn new(current: SigningKey, others: Vec<VerifyingKey>) -> Result<Self> {
        if others.len() >= MAX_KEYS {
            return Err(Error::internal(format!("more than {MAX_KEYS} keys for access tokens")));
        }
        Ok(Self { signing: vec![(DateTime::UNIX_EPOCH, current)], others, retired: Vec::new() })
    }

    /// Each of the keys signs from its time on until the next one's. Every node has a key before it signs.
    pub fn scheduled(
        mut signing: Vec<(DateTime<Utc>, SigningKey)>,
        retired: Vec<VerifyingKey>,
    ) -> Result<Self> {
        if signing.len() > MAX_KEYS {
            return Err(Error::internal(format!("more than {MAX_KEYS} keys for access tokens")));
        }
        signing.sort_by_key(|(from, _)| std::cmp::Reverse(*from));
        Ok(Self { signing, others: Vec::new(), retired })
    }

    pub(super) fn current(&self, now: DateTime<Utc>) -> Result<&SigningKey> {
        let begun = self.signing.iter().find(|(from, _)| *from <= now);
        let key = begun.or_else(|| self.signing.last()).map(|(_, key)| key);
        key.ok_or_else(|| Error::internal("no key signs access tokens"))
    }

    pub(super) fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.all().find(|key| key.kid == kid)
    }

    pub(super) fn find_ever(&self, kid: &str) -> Option<&VerifyingKey> {
        self.all().chain(&self.retired).find(|key| key.kid == kid)
    }

    /// The ids of the keys that verify tokens.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.all().map(VerifyingKey::kid)
    }

    /// The answer of `/.well-known/jwks.json` (RFC 7517).
    pub fn jwks(&self) -> Result<serde_json::Value> {
        let keys = self.all().map(|key| key.jwk.clone()).collect();
        serde_json::to_value(JwkSet { keys }).map_err(Error::internal)
    }

    fn all(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.signing.iter().map(|(_, key)| &key.verifying).chain(&self.others)
    }
}

/// Chooses the cryptography of JWTs for the process. Only the first call does anything, and
/// making a key calls it, so no order of start-up can leave it undone.
pub fn install_crypto_provider() {
    // Fails when it was installed before, by the same call: no other provider is compiled in.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
