//! ID tokens (OpenID Connect Core 1.0, 3.1.3.7). The algorithm is one of those listed here, whatever a token
//! says of itself; the key comes from the provider's own set; `jku`, `x5u` and `jwk` are never looked at.
//! Time is our clock with a minute's leeway: the library's own check would read the machine's, and is off.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::{Provider, refused};
use crate::core::Core;
use crate::error::Result;

/// Signatures of keys that only the provider has: no `none`, no `HS…`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
const LONGEST: usize = 16 << 10;
const LONGEST_SUBJECT: usize = 255;
/// Seconds by which the provider's clock may be off.
const LEEWAY: i64 = 60;
/// Seconds since its issue: it was fetched just now.
const OLDEST: i64 = 600;

#[derive(Clone, Deserialize)]
pub struct Claims {
    iss: String,
    pub sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    pub email: Option<String>,
    /// Of any type: only `true` is true.
    pub email_verified: Option<Value>,
    pub name: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The claims of a token that this provider issued to us, now, for this nonce.
///
/// # Errors
/// 401 `oidc_refused`; 502 `upstream_failed`.
pub async fn verify(core: &Core, provider: &Provider, token: &str, nonce: &str) -> Result<Claims> {
    if token.len() > LONGEST {
        return Err(refused(provider, "the ID token is too long"));
    }
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| refused(provider, "the ID token is not one"))?;
    let is_typed = header.typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() || !is_typed {
        return Err(refused(provider, "the algorithm or type of the ID token"));
    }
    let fits = |keys: &[Jwk]| choose(keys, header.kid.as_deref(), header.alg);
    let key = core.oidc.key(core, provider, fits).await?;
    let key = key.ok_or_else(|| refused(provider, "the key of the ID token"))?;
    let key = DecodingKey::from_jwk(&key).map_err(|_| refused(provider, "the key of the ID token"))?;
    let mut validation = Validation::new(header.alg);
    validation.set_required_spec_claims::<&str>(&[]);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|_| refused(provider, "the signature or claims of the ID token"))?;
    let claims = decoded.claims;
    match claims.fault(provider, nonce, core.clock.now().timestamp()) {
        Some(fault) => Err(refused(provider, fault)),
        None => Ok(claims),
    }
}

impl Claims {
    fn fault(&self, provider: &Provider, nonce: &str, now: i64) -> Option<&'static str> {
        let us = &provider.client_id;
        let (is_ours, is_alone) = match &self.aud {
            Audience::One(one) => (one == us, true),
            Audience::Many(many) => (many.contains(us), many.len() == 1),
        };
        let party = self.azp.as_ref();
        let same = |given: &str| bool::from(given.as_bytes().ct_eq(nonce.as_bytes()));
        let faults = [
            (self.iss != provider.issuer, "the issuer (iss)"),
            (!is_ours, "the audience (aud)"),
            (party.map_or(!is_alone, |party| party != us), "the authorised party (azp)"),
            (self.exp <= now - LEEWAY, "it has expired (exp)"),
            (!(now - OLDEST - LEEWAY..=now + LEEWAY).contains(&self.iat), "the time of issue (iat)"),
            (self.nbf.is_some_and(|nbf| nbf > now + LEEWAY), "it is not valid yet (nbf)"),
            (!self.nonce.as_deref().is_some_and(same), "the nonce"),
            (self.sub.is_empty() || self.sub.len() > LONGEST_SUBJECT, "the subject (sub)"),
        ];
        faults.into_iter().find(|(is_wrong, _)| *is_wrong).map(|(_, fault)| fault)
    }
}

/// The one key that may have signed: named by `kid`, else the only one of its kind.
fn choose(keys: &[Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        let named = kid.is_none_or(|kid| common.key_id.as_deref() == Some(kid));
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let same = common.key_algorithm.is_none_or(|known| known.to_string() == name(algorithm));
        named && signs && same && is_kind(&key.algorithm, algorithm)
    };
    let mut found = keys.iter().filter(fits);
    let first = found.next()?;
    found.next().is_none().then(|| first.clone())
}

fn is_kind(key: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => matches!(key, AlgorithmParameters::EllipticCurve(_)),
        Algorithm::EdDSA => matches!(key, AlgorithmParameters::OctetKeyPair(_)),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => false,
        _ => matches!(key, AlgorithmParameters::RSA(_)),
    }
}

fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}
