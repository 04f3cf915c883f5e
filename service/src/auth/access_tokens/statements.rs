//! Statements that the server signs beside access tokens: the same keys under another `typ`, so that
//! neither passes for the other. They name no person and do not expire.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AccessTokens, MAX_TOKEN_BYTES};
use crate::error::{Error, Result};

impl AccessTokens {
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn sign_statement(&self, kind: &str, claims: &impl Serialize, now: DateTime<Utc>) -> Result<String> {
        let keys = self.keys();
        let key = keys.current(now)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(kind.to_owned());
        header.kid = Some(key.kid().to_owned());
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(Error::internal)
    }

    /// The claims of a statement of this kind that one of our keys signed, be it retired.
    pub fn read_statement<T: DeserializeOwned + Clone>(&self, kind: &str, text: &str) -> Option<T> {
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(text).ok()?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(kind) || header.crit.is_some() {
            return None;
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims::<&str>(&[]);
        validation.validate_exp = false;
        validation.validate_aud = false;
        let keys = self.keys();
        let key = keys.find_ever(header.kid.as_deref()?)?;
        jsonwebtoken::decode::<T>(text, &key.decoding, &validation).ok().map(|statement| statement.claims)
    }
}
