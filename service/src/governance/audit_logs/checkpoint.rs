//! Checkpoints: the end of a chain, signed with the keys of access tokens under a type of its own, so that
//! neither passes for the other. Whoever keeps one outside notices that the chain was cut or rewritten.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::hex;
use super::verifier::Link;
use crate::ctx::Ctx;
use crate::error::{Error, Result};

const TYPE: &str = "mc-audit-checkpoint+jwt";
pub const LONGEST: usize = 2048;

/// What is signed.
#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The tenant.
    tid: Uuid,
    /// The last row's number.
    number: i64,
    /// Its hash, in hex.
    hash: String,
    /// Seconds since 1970.
    iat: i64,
}

pub fn seal(ctx: &Ctx, end: &Link) -> Result<String> {
    let now = ctx.core.clock.now();
    let claims = Claims {
        iss: ctx.core.access_tokens.issuer().to_owned(),
        tid: ctx.tenant,
        number: end.number,
        hash: hex(&end.hash),
        iat: now.timestamp(),
    };
    ctx.core.access_tokens.sign_statement(TYPE, &claims, now)
}

/// The link that a checkpoint of this tenant names.
///
/// # Errors
/// 422 at `checkpoint`, with one text for whatever is not this server's checkpoint of this tenant.
pub fn open(ctx: &Ctx, text: &str) -> Result<Link> {
    let wrong = || {
        Error::invalid(
            "checkpoint",
            "invalid_checkpoint",
            "This is no checkpoint of this tenant's audit log.",
        )
    };
    let claims: Claims = ctx.core.access_tokens.read_statement(TYPE, text).ok_or_else(wrong)?;
    let hash = unhex(&claims.hash).ok_or_else(wrong)?;
    let ours = claims.tid == ctx.tenant && claims.iss == ctx.core.access_tokens.issuer();
    if ours { Ok(Link { number: claims.number, hash }) } else { Err(wrong()) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?)).collect()
}
