//! Client tokens: what a program gives to a front-end, for one run and some minutes. A type and an audience
//! of their own keep them from passing for access tokens, and those from passing for them.

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AccessTokens, LEEWAY_SECONDS, MAX_TOKEN_BYTES};
use crate::error::{Error, Result};

const TYPE: &str = "client+jwt";

/// The credential that made a token, which does not outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parent {
    Key(Uuid),
    Session(Uuid),
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientGrant {
    pub id: Uuid,
    /// The person behind it.
    pub user: Uuid,
    pub tenant: Uuid,
    pub parent: Parent,
    pub run: Uuid,
    pub scopes: Vec<String>,
    pub expires_at: DateTime<Utc>,
}

/// What stands in a token; every claim is required. Times are seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
struct ClientClaims {
    iss: String,
    aud: String,
    sub: Uuid,
    tid: Uuid,
    parent: Parent,
    run: Uuid,
    scopes: Vec<String>,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl AccessTokens {
    pub fn issue_client(&self, grant: &ClientGrant, now: DateTime<Utc>) -> Result<String> {
        let claims = ClientClaims {
            iss: self.issuer.clone(),
            aud: self.client_audience(),
            sub: grant.user,
            tid: grant.tenant,
            parent: grant.parent,
            run: grant.run,
            scopes: grant.scopes.clone(),
            jti: grant.id,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: grant.expires_at.timestamp(),
        };
        self.sign_statement(TYPE, &claims, now)
    }

    /// Whether a token says that it is a client token; nothing of it is checked yet.
    pub fn is_client(token: &str) -> bool {
        token.len() <= MAX_TOKEN_BYTES
            && jsonwebtoken::decode_header(token).is_ok_and(|header| header.typ.as_deref() == Some(TYPE))
    }

    /// What a client token that is ours is good for at `now`.
    ///
    /// # Errors
    /// 401 `token_expired` for one that was valid, `invalid_token` for everything else.
    pub fn verify_client(&self, token: &str, now: DateTime<Utc>) -> Result<ClientGrant> {
        let claims = self.client_claims(token).ok_or_else(super::invalid)?;
        let now = now.timestamp();
        if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
            return Err(super::invalid());
        }
        if claims.exp <= now.saturating_sub(LEEWAY_SECONDS) {
            return Err(Error::unauthenticated("token_expired", "The client token has expired."));
        }
        Ok(ClientGrant {
            id: claims.jti,
            user: claims.sub,
            tenant: claims.tid,
            parent: claims.parent,
            run: claims.run,
            scopes: claims.scopes,
            expires_at: DateTime::from_timestamp(claims.exp, 0).ok_or_else(super::invalid)?,
        })
    }

    fn client_claims(&self, token: &str) -> Option<ClientClaims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return None;
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[self.client_audience()]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let keys = self.keys();
        let key = keys.find(header.kid.as_deref()?)?;
        let decoded = jsonwebtoken::decode::<ClientClaims>(token, &key.decoding, &validation);
        decoded.ok().map(|token| token.claims)
    }

    fn client_audience(&self) -> String {
        format!("{}/client", self.audience)
    }
}
