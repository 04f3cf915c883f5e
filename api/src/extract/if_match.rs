//! `If-Match`: the revision a caller believes to change (RFC 9110, strong comparison).

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use service::crud::Expected;
use service::error::Error;

use crate::error::HttpError;

/// The expected revision; any when the header is absent or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Expected);

impl FromRequest for IfMatch {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parsed = match request.headers().get(header::IF_MATCH) {
            None => Ok(Self(Expected::Any)),
            Some(value) => parse(value.to_str().unwrap_or("")),
        };
        ready(parsed.map_err(HttpError::from))
    }
}

fn parse(value: &str) -> Result<IfMatch, Error> {
    if value.trim() == "*" {
        return Ok(IfMatch(Expected::Any));
    }
    let tag = value.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match tag {
        // A well formed tag that is no revision of ours is a revision that is not current.
        Some(tag) if !tag.contains('"') => Ok(IfMatch(Expected::Revision(revision(tag).unwrap_or(-1)))),
        _ => Err(Error::invalid("If-Match", "format", "must be one strong entity tag, as in an ETag, or *")),
    }
}

fn revision(tag: &str) -> Option<i64> {
    let canonical = tag.bytes().all(|byte| byte.is_ascii_digit()) && !tag.starts_with('0');
    canonical.then(|| tag.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(parse("\"7\"").unwrap(), IfMatch(Expected::Revision(7)));
        assert_eq!(parse("*").unwrap(), IfMatch(Expected::Any));
        assert_eq!(parse("\"07\"").unwrap(), IfMatch(Expected::Revision(-1)));
        assert_eq!(parse("\"other\"").unwrap(), IfMatch(Expected::Revision(-1)));
        for bad in ["", "7", "W/\"7\"", "\"7", "\"7\", \"8\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
