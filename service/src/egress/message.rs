//! What goes through the door, and what comes back. None of it has `Debug`: a URL, a header or a
//! body may hold a secret.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use secrecy::SecretString;

use super::{EgressError, Method, Url};

#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(String, String)>,
    /// Credentials: they never follow a redirect to another origin.
    pub secret_headers: Vec<(String, SecretString)>,
    pub body: Option<Bytes>,
    /// `send`: the whole exchange with its redirects. `stream`: the time to the response head,
    /// then the longest silence between chunks.
    pub timeout: Duration,
    /// Cap of the response body in bytes.
    pub max_bytes: usize,
}

impl Request {
    /// 60 s and 4 MiB.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            secret_headers: Vec::new(),
            body: None,
            timeout: Duration::from_secs(60),
            max_bytes: 4 << 20,
        }
    }
}

#[derive(Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came: no content coding is asked for and none is undone.
    pub body: Bytes,
    /// Where the answer came from, after redirects.
    pub url: Url,
}

pub struct StreamResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Ends after its first error.
    pub body: BoxStream<'static, Result<Bytes, EgressError>>,
}
