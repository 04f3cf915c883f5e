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
