//! What a redirect does to a request (RFC 9110, section 15.4). Invariant: to another origin
//! (scheme, host, port) go only headers known to hold no credential.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::error::EgressError;
use super::{Method, Url};

/// One request on the wire.
pub(super) struct Hop {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

/// The headers that may follow to another origin. Anything else may be a credential: an API key
/// has no fixed name.
const HARMLESS: [HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::RANGE,
    header::USER_AGENT,
];

/// The request that `status` and `location` ask for, or `None` when the answer is final. The
/// result is not yet checked as a target.
pub(super) fn next(
    hop: &Hop,
    status: StatusCode,
    location: Option<&HeaderValue>,
) -> Result<Option<Hop>, EgressError> {
    let to_get = match status.as_u16() {
        301 | 302 => hop.method == Method::POST,
        303 => hop.method != Method::HEAD,
        307 | 308 => false,
        _ => return Ok(None),
    };
    let Some(location) = location else { return Ok(None) };
    let refuse = |detail| {
        let host = hop.url.host_str().unwrap_or_default().to_owned();
        EgressError::Protocol { host, detail }
    };
    let url = location.to_str().ok().and_then(|location| hop.url.join(location).ok());
    let url = url.ok_or_else(|| refuse("it redirects to no URL"))?;

    let (method, body) = if to_get { (Method::GET, None) } else { (hop.method.clone(), hop.body.clone()) };
    let mut headers = hop.headers.clone();
    if to_get {
        headers = only(&headers, |name, _| !name.as_str().starts_with("content-"));
    }
    if hop.url.origin() != url.origin() {
        let before = headers.len();
        headers = only(&headers, |name, value| HARMLESS.contains(name) && !value.is_sensitive());
        let secrets = headers.len() < before || body.is_some();
        if secrets && hop.url.scheme() == "https" && url.scheme() == "http" {
            return Err(refuse("it redirects a private request to plain http"));
        }
    }
    Ok(Some(Hop { method, url, headers, body }))
}

/// The fields that pass; `http::HeaderMap` has no `retain`.
fn only(headers: &HeaderMap, keep: impl Fn(&HeaderName, &HeaderValue) -> bool) -> HeaderMap {
    let kept = headers.iter().filter(|(name, value)| keep(name, value));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(method: Method, url: &str) -> Hop {
        let headers = [
            (header::ACCEPT, HeaderValue::from_static("text/plain")),
            (header::CONTENT_TYPE, HeaderValue::from_static("text/plain")),
        ];
        let body = (method != Method::GET && method != Method::HEAD).then(|| Bytes::from_static(b"x"));
        Hop { method, url: Url::parse(url).unwrap(), headers: headers.into_iter().collect(), body }
    }

    fn follow(hop: &Hop, status: u16, location: &str) -> Result<Option<Hop>, EgressError> {
        let location = HeaderValue::from_str(location).unwrap();
        next(hop, StatusCode::from_u16(status).unwrap(), Some(&location))
    }

    #[test]
    fn methods_follow_the_rules() {
        for (status, method, expected) in [
            (301, Method::POST, Method::GET),
            (302, Method::POST, Method::GET),
            (301, Method::PUT, Method::PUT),
            (302, Method::HEAD, Method::HEAD),
            (303, Method::POST, Method::GET),
            (303, Method::DELETE, Method::GET),
            (303, Method::HEAD, Method::HEAD),
            (307, Method::POST, Method::POST),
            (308, Method::PATCH, Method::PATCH),
        ] {
            let kept = method == expected;
            let before = hop(method, "https://a.test/b/c");
            let after = follow(&before, status, "d?e").unwrap().unwrap();
            assert_eq!((after.method, after.url.as_str()), (expected, "https://a.test/b/d?e"));
            assert_eq!(after.body, if kept { before.body } else { None }, "{status}");
            assert_eq!(after.headers.contains_key(header::CONTENT_TYPE), kept, "{status}");
            assert!(after.headers.contains_key(header::ACCEPT));
        }
    }

    #[test]
    fn other_answers_are_final() {
        for status in [200, 201, 300, 304, 305, 404] {
            assert!(follow(&hop(Method::GET, "https://a.test/"), status, "/b").unwrap().is_none());
        }
        let unlocated = next(&hop(Method::GET, "https://a.test/"), StatusCode::FOUND, None);
        assert!(unlocated.unwrap().is_none());
    }

    #[test]
    fn a_private_request_is_not_redirected_to_plain_http() {
        let mut secret = hop(Method::GET, "https://a.test/");
        assert!(follow(&secret, 302, "http://a.test/").is_ok());
        secret.headers.insert("x-api-key", HeaderValue::from_static("sesame"));
        assert!(follow(&secret, 302, "http://a.test/").is_err());
        assert!(follow(&secret, 302, "https://b.test/").is_ok());
        assert!(follow(&hop(Method::POST, "https://a.test/"), 307, "http://a.test/").is_err());
    }

    #[test]
    fn another_port_or_scheme_is_another_origin() {
        let mut secret = hop(Method::GET, "http://a.test/");
        secret.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("sesame"));
        for (location, kept) in [
            ("http://a.test:80/x", true),
            ("http://a.test:81/", false),
            ("https://a.test/", false),
            ("http://a.test./", false),
        ] {
            let after = follow(&secret, 302, location).unwrap().unwrap();
            assert_eq!(after.headers.contains_key(header::AUTHORIZATION), kept, "{location}");
        }
    }
}
