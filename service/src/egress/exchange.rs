//! One exchange: the request, hop by hop, each hop with the full check, to the head of the answer.

use std::sync::LazyLock;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout_at};

use super::breaker::Pass;
use super::error::EgressError;
use super::message::Request;
use super::redirect::{self, Hop};
use super::{Inner, Url};

const MAX_HEAD_BYTES: usize = 64 << 10;

/// Headers that frame or route the message: they are the client's.
static RESERVED: LazyLock<[HeaderName; 9]> = LazyLock::new(|| {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
});

/// The head of the final answer; its place in the bulkhead is held until the body is done with.
pub(super) struct Answer {
    pub response: reqwest::Response,
    pub url: Url,
    pub host: String,
    pub _pass: Pass,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub fn headers(&self) -> Vec<(String, String)> {
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        self.response.headers().iter().map(pair).collect()
    }
}

impl Inner {
    pub(super) async fn exchange(&self, request: Request, deadline: Instant) -> Result<Answer, EgressError> {
        let headers = headers(&request)?;
        let mut hop = Hop { method: request.method, url: request.url, headers, body: request.body };
        let mut answer = self.hop(&hop, deadline).await?;
        for _ in 0..self.policy.max_redirects {
            let Some(next) = follow(&hop, &answer)? else { return Ok(answer) };
            drop(answer);
            answer =
                self.hop(&next, deadline).await.map_err(|error| EgressError::Redirected(Box::new(error)))?;
            hop = next;
        }
        match follow(&hop, &answer)? {
            None => Ok(answer),
            Some(_) => Err(EgressError::TooManyRedirects),
        }
    }

    async fn hop(&self, hop: &Hop, deadline: Instant) -> Result<Answer, EgressError> {
        let target = self.targets.check(&hop.url)?;
        let pass = self.hosts.enter(&target).await?;
        let client = self.clients.pick(target.listed);
        let mut builder = client.request(hop.method.clone(), hop.url.clone()).headers(hop.headers.clone());
        if let Some(body) = &hop.body {
            builder = builder.body(body.clone());
        }
        let began = Instant::now();
        let result = match timeout_at(deadline, builder.send()).await {
            Ok(result) => result.map_err(|error| EgressError::of_client(&error, &target.host)),
            Err(_) => Err(EgressError::Timeout),
        };
        if let Some(answered) = self.verdict(result.as_ref().err(), began) {
            self.hosts.report(&pass, answered);
        }
        let response = result.inspect_err(|error| {
            tracing::debug!(host = target.host, outcome = error.code(), "an outbound request failed");
        })?;
        let head: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if head > MAX_HEAD_BYTES {
            return Err(EgressError::Protocol {
                host: target.host,
                detail: "its header fields are too long",
            });
        }
        Ok(Answer { response, url: hop.url.clone(), host: target.host, _pass: pass })
    }

    /// What the breaker learns. A deadline shorter than a connection may take is the caller's haste:
    /// it must not close the host to everybody else.
    fn verdict(&self, error: Option<&EgressError>, began: Instant) -> Option<bool> {
        match error {
            None => Some(true),
            Some(EgressError::Timeout) if began.elapsed() < self.policy.connect_timeout => None,
            Some(EgressError::Blocked { .. } | EgressError::InvalidUrl { .. }) => None,
            Some(_) => Some(false),
        }
    }
}

fn follow(hop: &Hop, answer: &Answer) -> Result<Option<Hop>, EgressError> {
    redirect::next(hop, answer.response.status(), answer.response.headers().get(header::LOCATION))
}

fn headers(request: &Request) -> Result<HeaderMap, EgressError> {
    let plain = request.headers.iter().map(|(name, value)| (name, value.as_str(), false));
    let secret = request.secret_headers.iter().map(|(name, value)| (name, value.expose_secret(), true));
    let mut headers = HeaderMap::new();
    for (name, value, sensitive) in plain.chain(secret) {
        let invalid = || EgressError::InvalidHeader { name: name.chars().take(64).collect() };
        let key = HeaderName::try_from(name).map_err(|_| invalid())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        if RESERVED.contains(&key) {
            return Err(invalid());
        }
        value.set_sensitive(sensitive);
        headers.try_append(key, value).map_err(|_| invalid())?;
    }
    Ok(headers)
}
