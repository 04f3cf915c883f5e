//! Who sent a delivery: signatures over the raw body, by the schemes of the well-known senders.
//!
//! Sources: the Standard Webhooks specification; GitHub, "Validating webhook deliveries"; Stripe, "Verify webhook
//! signatures manually"; Slack, "Verifying requests from Slack". Invariants: nothing is compared but in constant time;
//! where the scheme signs a time, it is at most five minutes away.

use aws_lc_rs::hmac::{self, Algorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use entity::tasks::inbound_hook::HookScheme;

use super::config::{HmacAlgorithm, HookConfig, SignatureEncoding, SignedContent};

const TOLERANCE_SECONDS: i64 = 300;
/// Signatures that one header may list: a sender lists two while it rotates.
const MOST_SIGNATURES: usize = 16;
const STANDARD_PREFIX: &str = "whsec_";

/// What a signature is checked against.
pub struct Signed<'a> {
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    pub body: &'a [u8],
    pub now: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproved {
    Missing,
    /// It is not of one of the secrets, or of another body.
    Wrong,
    /// Its time is more than five minutes away.
    Stale,
}

impl Unproved {
    pub fn message(self) -> &'static str {
        match self {
            Self::Missing => "A header of the signature is missing.",
            Self::Wrong => "The signature is not of this body with a secret of the hook.",
            Self::Stale => "The signature's time is more than five minutes away.",
        }
    }
}

/// The key of a secret as the scheme writes it; `None` for one that is not of its form.
pub fn key(scheme: HookScheme, secret: &str) -> Option<Vec<u8>> {
    match scheme {
        HookScheme::StandardWebhooks => {
            let encoded = secret.strip_prefix(STANDARD_PREFIX).unwrap_or(secret).trim_end_matches('=');
            STANDARD_NO_PAD.decode(encoded).ok().filter(|key| !key.is_empty())
        }
        _ => Some(secret.as_bytes().to_vec()).filter(|key| !key.is_empty()),
    }
}

/// Whether one of the keys signed it.
pub fn verify(
    scheme: HookScheme,
    config: &HookConfig,
    keys: &[Vec<u8>],
    signed: &Signed<'_>,
) -> Result<(), Unproved> {
    match scheme {
        HookScheme::StandardWebhooks => standard(keys, signed),
        HookScheme::Github => {
            let given = header(signed, "x-hub-signature-256")?;
            let given = given.strip_prefix("sha256=").ok_or(Unproved::Wrong)?;
            matches(keys, hmac::HMAC_SHA256, &[signed.body], &[unhex(given)?])
        }
        HookScheme::Stripe => stripe(keys, signed),
        HookScheme::Slack => {
            let (time, given) =
                (header(signed, "x-slack-request-timestamp")?, header(signed, "x-slack-signature")?);
            recent(time, signed.now)?;
            let given = given.strip_prefix("v0=").ok_or(Unproved::Wrong)?;
            matches(keys, hmac::HMAC_SHA256, &[b"v0:", time.as_bytes(), b":", signed.body], &[unhex(given)?])
        }
        HookScheme::Hmac => plain(config, keys, signed),
        HookScheme::None => Ok(()),
    }
}

fn standard(keys: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), Unproved> {
    let either = |name: &str| {
        let found = (signed.header)(&format!("webhook-{name}"));
        found.or_else(|| (signed.header)(&format!("svix-{name}"))).ok_or(Unproved::Missing)
    };
    let (id, time, given) = (either("id")?, either("timestamp")?, either("signature")?);
    recent(time, signed.now)?;
    let given: Vec<_> = given
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .take(MOST_SIGNATURES)
        .collect();
    matches(keys, hmac::HMAC_SHA256, &[id.as_bytes(), b".", time.as_bytes(), b".", signed.body], &given)
}

fn stripe(keys: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), Unproved> {
    let pairs: Vec<_> = header(signed, "stripe-signature")?
        .split(',')
        .filter_map(|pair| pair.trim().split_once('='))
        .take(MOST_SIGNATURES)
        .collect();
    let time = pairs.iter().find(|(name, _)| *name == "t").map(|(_, time)| *time).ok_or(Unproved::Missing)?;
    recent(time, signed.now)?;
    let given: Vec<_> =
        pairs.iter().filter(|(name, _)| *name == "v1").filter_map(|(_, given)| unhex(given).ok()).collect();
    matches(keys, hmac::HMAC_SHA256, &[time.as_bytes(), b".", signed.body], &given)
}

fn plain(config: &HookConfig, keys: &[Vec<u8>], signed: &Signed<'_>) -> Result<(), Unproved> {
    let algorithm = match config.algorithm {
        HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let given = header(signed, config.header.as_deref().unwrap_or_default())?;
    let given = given.strip_prefix(config.prefix.as_deref().unwrap_or_default()).ok_or(Unproved::Wrong)?;
    let given = match config.encoding {
        SignatureEncoding::Hex => unhex(given)?,
        SignatureEncoding::Base64 => STANDARD.decode(given).map_err(|_| Unproved::Wrong)?,
    };
    let time = match &config.timestamp_header {
        None => None,
        Some(name) => Some(header(signed, name)?),
    };
    time.map(|time| recent(time, signed.now)).transpose()?;
    match (config.signed_content, time) {
        (SignedContent::TimestampDotBody, Some(time)) => {
            matches(keys, algorithm, &[time.as_bytes(), b".", signed.body], &[given])
        }
        _ => matches(keys, algorithm, &[signed.body], &[given]),
    }
}

fn header<'a>(signed: &Signed<'a>, name: &str) -> Result<&'a str, Unproved> {
    (signed.header)(name).ok_or(Unproved::Missing)
}

fn unhex(text: &str) -> Result<Vec<u8>, Unproved> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| Unproved::Wrong)
}

fn recent(time: &str, now: DateTime<Utc>) -> Result<(), Unproved> {
    let time: i64 = time.parse().map_err(|_| Unproved::Wrong)?;
    let apart = i128::from(time) - i128::from(now.timestamp());
    if apart.abs() <= i128::from(TOLERANCE_SECONDS) { Ok(()) } else { Err(Unproved::Stale) }
}

/// Whether one of the keys gives one of the signatures. The comparison is the cryptographic library's, in constant
/// time; all are tried whatever the first said.
fn matches(
    keys: &[Vec<u8>],
    algorithm: Algorithm,
    parts: &[&[u8]],
    given: &[Vec<u8>],
) -> Result<(), Unproved> {
    let content = parts.concat();
    let mut found = false;
    for key in keys {
        let key = hmac::Key::new(algorithm, key);
        for given in given {
            found |= hmac::verify(&key, &content, given).is_ok();
        }
    }
    if found { Ok(()) } else { Err(Unproved::Wrong) }
}

#[cfg(test)]
mod tests;
