//! Access tokens: JWTs (RFC 9068) that live ten minutes.
//!
//! One algorithm, Ed25519, whatever a token says of itself. The key is found by `kid` among our
//! own; `jku`, `x5u` and `jwk` are never looked at (RFC 8725). Time is the caller's clock: the
//! library's own check would read the machine's, and is off.

mod client_tokens;
mod signing_keys;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::ids::Ids;

pub use client_tokens::{ClientGrant, Parent};
pub use signing_keys::{MAX_KEYS, SigningKey, SigningKeys, VerifyingKey, install_crypto_provider};

/// Seconds from issue to expiry.
pub const LIFETIME_SECONDS: i64 = 600;
/// Seconds by which the clocks of two nodes may differ.
pub const LEEWAY_SECONDS: i64 = 5;
pub const MAX_TOKEN_BYTES: usize = 4096;

/// The `typ` of access tokens (RFC 9068, 2.1): no other JWT of ours passes for one.
const TYPE: &str = "at+jwt";

/// Who a token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    pub user: Uuid,
    pub tenant: Uuid,
    pub session: Uuid,
}

/// What stands in a token; every claim is required. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    pub iss: String,
    pub aud: String,
    /// The user.
    pub sub: Uuid,
    /// The tenant.
    pub tid: Uuid,
    /// The session.
    pub sid: Uuid,
    pub jti: Uuid,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
}

/// Issues and verifies.
pub struct AccessTokens {
    issuer: String,
    audience: String,
    keys: RwLock<Arc<SigningKeys>>,
    validation: Validation,
}

impl AccessTokens {
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, keys: SigningKeys) -> Self {
        let (issuer, audience) = (issuer.into(), audience.into());
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[&audience]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { issuer, audience, keys: RwLock::new(Arc::new(keys)), validation }
    }

    pub fn keys(&self) -> Arc<SigningKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After a rotation.
    pub fn take_over(&self, keys: SigningKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// A signed token, valid from `now` for [`LIFETIME_SECONDS`].
    pub fn issue(&self, subject: Subject, ids: &Ids, now: DateTime<Utc>) -> Result<String> {
        let keys = self.keys();
        let key = keys.current(now)?;
        let now = now.timestamp();
        let claims = AccessClaims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.user,
            tid: subject.tenant,
            sid: subject.session,
            jti: ids.next(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(LIFETIME_SECONDS),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.kid().to_owned());
        jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(Error::internal)
    }

    /// The claims of a token that is ours, for us, and valid at `now`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]: `token_expired` for a token that was valid, `invalid_token`
    /// with one text for everything else.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims> {
        let claims = self.signed_claims(token).ok_or_else(invalid)?;
        let now = now.timestamp();
        if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
            return Err(invalid());
        }
        if claims.exp <= now.saturating_sub(LEEWAY_SECONDS) {
            return Err(Error::unauthenticated("token_expired", "The access token has expired."));
        }
        Ok(claims)
    }

    fn signed_claims(&self, token: &str) -> Option<AccessClaims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return None;
        }
        let keys = self.keys();
        let key = keys.find(header.kid.as_deref()?)?;
        let decoded = jsonwebtoken::decode::<AccessClaims>(token, &key.decoding, &self.validation);
        decoded.ok().map(|token| token.claims)
    }
}

fn invalid() -> Error {
    Error::unauthenticated("invalid_token", "The access token is not valid.")
}
