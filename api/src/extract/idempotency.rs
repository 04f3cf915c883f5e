//! `Idempotency-Key`: which request this is a repetition of, and proof that it is the same one.

use actix_web::HttpRequest;
use actix_web::http::Method;
use service::ctx::IdempotencyKey;
use service::error::Error;
use sha2::{Digest as _, Sha256};

use super::Body;

const HEADER: &str = "idempotency-key";

/// The key of a POST, with the SHA-256 of its method, path, query and body.
pub fn key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Error> {
    if request.method() != Method::POST {
        return Ok(None);
    }
    let Some(value) = request.headers().get(HEADER) else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| {
            Error::invalid("Idempotency-Key", "format", "must be 1 to 255 visible ASCII characters")
        })?;
    let pattern = request.match_pattern().unwrap_or_else(|| request.path().to_owned());
    let route = format!("{} {pattern}", request.method());
    Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint: fingerprint(request), route }))
}

fn fingerprint(request: &HttpRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [request.method().as_str(), request.path(), request.query_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(&Body::of(request).0);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use actix_web::HttpMessage as _;
    use actix_web::test::TestRequest;
    use bytes::Bytes;

    use super::*;

    fn post(uri: &str, key: &str, body: &'static str) -> Result<Option<IdempotencyKey>, Error> {
        let request = TestRequest::post().uri(uri).insert_header((HEADER, key)).to_http_request();
        request.extensions_mut().insert(Body(Bytes::from_static(body.as_bytes())));
        super::key(&request)
    }

    #[test]
    fn another_body_path_or_query_has_another_fingerprint() {
        let print = |uri, body| post(uri, "k", body).unwrap().unwrap().fingerprint;
        assert_eq!(print("/v1/a?x=1", "{}"), print("/v1/a?x=1", "{}"));
        assert_ne!(print("/v1/a?x=1", "{}"), print("/v1/a?x=1", "{ }"));
        assert_ne!(print("/v1/a?x=1", "{}"), print("/v1/a?x=2", "{}"));
        assert_ne!(print("/v1/a", "{}"), print("/v1/b", "{}"));
    }

    #[test]
    fn only_visible_ascii_of_bounded_length() {
        assert!(post("/v1/a", &"k".repeat(255), "").unwrap().is_some());
        assert!(post("/v1/a", &"k".repeat(256), "").is_err());
        assert!(post("/v1/a", "", "").is_err());
        assert!(post("/v1/a", "a b", "").is_err());
    }

    #[test]
    fn only_post_has_one() {
        let request = TestRequest::patch().insert_header((HEADER, "k")).to_http_request();
        assert!(super::key(&request).unwrap().is_none());
    }
}
