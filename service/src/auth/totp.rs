//! Time-based one-time passwords: TOTP (RFC 6238) over HOTP (RFC 4226) with SHA-1, six digits and steps
//! of 30 seconds, which is what every authenticator knows.

use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha1::Sha1;
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::error::{Error, Result};

/// As long as the hash (RFC 4226, section 4, R6).
pub const SECRET_BYTES: usize = 20;
pub const DIGITS: u32 = 6;
pub const STEP_SECONDS: i64 = 30;
/// Steps by which the authenticator's clock may be off, either way.
const WINDOW: i64 = 1;

pub fn step(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(STEP_SECONDS)
}

/// The code of a step.
pub fn code(secret: &[u8], step: i64) -> Result<String> {
    hotp(secret, step.unsigned_abs(), DIGITS)
}

/// The step, near `now` and behind `last_step`, whose code this is.
pub fn find(secret: &[u8], given: &str, now: DateTime<Utc>, last_step: i64) -> Result<Option<i64>> {
    let current = step(now);
    let mut found = None;
    for step in current - WINDOW..=current + WINDOW {
        let is_equal: bool = code(secret, step)?.as_bytes().ct_eq(given.as_bytes()).into();
        if is_equal && step > last_step {
            found = Some(step);
        }
    }
    Ok(found)
}

/// As an authenticator takes it by hand.
pub fn base32(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// As an authenticator scans it, in the key URI format of Google Authenticator.
pub fn uri(secret: &[u8], issuer: &str, account: &str) -> Result<SecretString> {
    let mut uri = Url::parse("otpauth://totp/").map_err(Error::internal)?;
    // A plus is a space to some readers, and so it is written in the query only.
    let account = account.replace('%', "%25").replace('+', "%2B");
    uri.set_path(&format!("/{issuer}:{account}"));
    uri.query_pairs_mut()
        .append_pair("secret", &base32(secret))
        .append_pair("issuer", issuer)
        .append_pair("algorithm", "SHA1")
        .append_pair("digits", &DIGITS.to_string())
        .append_pair("period", &STEP_SECONDS.to_string());
    Ok(SecretString::from(uri.as_str().replace('+', "%20")))
}

/// RFC 4226, section 5.3.
fn hotp(secret: &[u8], counter: u64, digits: u32) -> Result<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).map_err(|error| Error::internal(error.to_string()))?;
    mac.update(&counter.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0x0f);
    let truncated = hash[offset..offset + 4].iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
    let value = (truncated & 0x7fff_ffff) % 10_u32.pow(digits);
    Ok(format!("{value:0width$}", width = digits as usize))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// RFC 6238, appendix B, the rows of SHA1: eight digits.
    #[test]
    fn vectors_of_rfc_6238() {
        for (seconds, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let counter = step(at(seconds)).unsigned_abs();
            assert_eq!(hotp(SECRET, counter, 8).unwrap(), expected);
            assert_eq!(code(SECRET, step(at(seconds))).unwrap(), expected[2..]);
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn vectors_of_rfc_4226() {
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (counter, expected) in (0..).zip(expected) {
            assert_eq!(hotp(SECRET, counter, DIGITS).unwrap(), expected);
        }
    }

    #[test]
    fn a_code_is_found_one_step_away_and_once() {
        let now = at(1_234_567_890);
        let current = step(now);
        for (away, is_found) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let given = code(SECRET, current + away).unwrap();
            let found = find(SECRET, &given, now, 0).unwrap();
            assert_eq!(found, is_found.then_some(current + away));
            assert_eq!(find(SECRET, &given, now, current + away).unwrap(), None, "it is used up");
        }
        for bad in ["", "00592", "0059240", "abcdef", "００５９２４"] {
            assert_eq!(find(SECRET, bad, now, 0).unwrap(), None);
        }
    }

    #[test]
    fn the_uri_is_what_authenticators_scan() {
        let uri = uri(SECRET, "Mission Control", "ada+x@example.org").unwrap();
        assert_eq!(
            uri.expose_secret(),
            "otpauth://totp/Mission%20Control:ada%2Bx@example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Mission%20Control&algorithm=SHA1&digits=6&period=30"
        );
    }
}
