//! `If-Match`: the revision a caller believes to change (RFC 9110, strong comparison).

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, EntityTag};
use actix_web::{FromRequest, HttpRequest};
use service::crud::Expected;
use service::error::Error;

use crate::error::HttpError;

/// The expected revisions; any when the header is absent or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Expected);

impl FromRequest for IfMatch {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let lines = request.headers().get_all(header::IF_MATCH).map(|line| line.to_str().unwrap_or(""));
        let all = lines.collect::<Vec<_>>().join(",");
        let present = request.headers().contains_key(header::IF_MATCH);
        let parsed = if present { parse(&all) } else { Ok(Self(Expected::Any)) };
        ready(parsed.map_err(HttpError::from))
    }
}

fn parse(value: &str) -> Result<IfMatch, Error> {
    if value.trim() == "*" {
        return Ok(IfMatch(Expected::Any));
    }
    let tags = value.split(',').map(|tag| tag.trim().parse::<EntityTag>());
    let tags = tags.collect::<Result<Vec<_>, _>>().map_err(|_| {
        Error::invalid("If-Match", "format", "must be entity tags, as in an ETag, between commas, or *")
    })?;
    Ok(IfMatch(Expected::OneOf(tags.iter().filter_map(revision).collect())))
}

/// A weak tag, or one that is no revision of ours, never matches.
fn revision(tag: &EntityTag) -> Option<i64> {
    let digits = tag.tag();
    let canonical = !tag.weak && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    canonical.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let one_of = |revisions: &[i64]| IfMatch(Expected::OneOf(revisions.to_vec()));
        assert_eq!(parse("\"7\"").unwrap(), one_of(&[7]));
        assert_eq!(parse("*").unwrap(), IfMatch(Expected::Any));
        assert_eq!(parse("\"7\", \"8\"").unwrap(), one_of(&[7, 8]));
        assert_eq!(parse("W/\"7\" , \"8\"").unwrap(), one_of(&[8]));
        for never in ["\"07\"", "\"other\"", "W/\"7\"", "\"\""] {
            assert_eq!(parse(never).unwrap(), one_of(&[]), "{never}");
        }
        for bad in ["", "7", "\"7", "\"7\", 8", "\"7\" \"8\"", "*, \"7\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
