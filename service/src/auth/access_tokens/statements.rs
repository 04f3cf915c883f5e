//! Statements that the server signs beside access tokens: the same keys under another `typ`, so that
//! neither passes for the other. They name no person and do not expire.

use jsonwebtoken::{Algorithm, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AccessTokens, MAX_TOKEN_BYTES};
use crate::error::{Error, Result};

impl AccessTokens {
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn sign_statement(&self, kind: &str, claims: &impl Serialize) -> Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(kind.to_owned());
        header.kid = Some(self.keys.current.kid().to_owned());
        jsonwebtoken::encode(&header, claims, &self.keys.current.encoding).map_err(Error::internal)
    }

    /// The claims of a statement of this kind that one of our keys signed.
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
        let key = self.keys.find(header.kid.as_deref()?)?;
        jsonwebtoken::decode::<T>(text, &key.decoding, &validation).ok().map(|statement| statement.claims)
    }
}
