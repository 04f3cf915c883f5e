//! Why an exchange failed, in words that are safe to show: hosts, never URLs or addresses.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::resolver::Refused;
use crate::error::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressError {
    /// Not a URL that may be called.
    InvalidUrl {
        reason: &'static str,
    },
    /// A header that may not be sent.
    InvalidHeader {
        name: String,
    },
    /// The host is, or resolves to, an address that is not public.
    Blocked {
        host: String,
    },
    Resolve {
        host: String,
    },
    Connect {
        host: String,
    },
    Tls {
        host: String,
    },
    Timeout,
    /// The response body is longer than this many bytes.
    TooLarge {
        limit: usize,
    },
    TooManyRedirects,
    /// As many exchanges with the host as allowed are under way.
    Busy {
        host: String,
    },
    /// The host failed repeatedly and is left alone.
    CircuitOpen {
        host: String,
        retry_after: Duration,
    },
    /// The connection broke before the answer was complete.
    Interrupted {
        host: String,
    },
    /// The answer cannot be accepted.
    Protocol {
        host: String,
        detail: &'static str,
    },
    /// An earlier host answered with a redirect, and following it failed.
    Redirected(Box<EgressError>),
}

impl EgressError {
    /// A stable name, for metrics and error codes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl { .. } => "invalid_url",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::Blocked { .. } => "blocked",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Timeout => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyRedirects => "too_many_redirects",
            Self::Busy { .. } => "busy",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::Interrupted { .. } => "interrupted",
            Self::Protocol { .. } => "protocol",
            Self::Redirected(inner) => inner.code(),
        }
    }

    /// Whether the same request may work later. Says nothing of effects: see [`Self::sent`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout
            | Self::Busy { .. }
            | Self::CircuitOpen { .. }
            | Self::Interrupted { .. } => true,
            Self::Redirected(inner) => inner.is_retryable(),
            _ => false,
        }
    }

    /// Whether the request may have reached the other side, so that its effect may have happened.
    pub fn sent(&self) -> bool {
        match self {
            Self::Timeout
            | Self::TooLarge { .. }
            | Self::TooManyRedirects
            | Self::Interrupted { .. }
            | Self::Protocol { .. }
            | Self::Redirected(_) => true,
            Self::InvalidUrl { .. }
            | Self::InvalidHeader { .. }
            | Self::Blocked { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Busy { .. }
            | Self::CircuitOpen { .. } => false,
        }
    }

    /// Sorts a client error by where it happened; the client's own words are dropped, they hold URLs.
    pub(super) fn of_client(error: &reqwest::Error, host: &str) -> Self {
        let host = host.to_owned();
        let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
        if let Some(refused) = causes().find_map(|cause| cause.downcast_ref::<Refused>()) {
            return match refused {
                Refused::Blocked => Self::Blocked { host },
                Refused::Unresolved => Self::Resolve { host },
            };
        }
        if error.is_connect() {
            return if causes().any(is_tls) { Self::Tls { host } } else { Self::Connect { host } };
        }
        if error.is_builder() {
            return Self::InvalidUrl { reason: "it cannot be sent as a request" };
        }
        Self::Interrupted { host }
    }
}

/// rustls errors travel inside `io::Error`s, which leave them out of the chain of sources.
fn is_tls(cause: &(dyn StdError + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl { reason } => write!(f, "The URL may not be called: {reason}."),
            Self::InvalidHeader { name } => write!(f, "The header {name:?} may not be sent."),
            Self::Blocked { host } => write!(f, "The host {host} is not a public address."),
            Self::Resolve { host } => write!(f, "The host {host} has no address."),
            Self::Connect { host } => write!(f, "No connection to {host}."),
            Self::Tls { host } => write!(f, "No secure connection to {host}."),
            Self::Timeout => f.write_str("No answer in time."),
            Self::TooLarge { limit } => write!(f, "The answer is longer than {limit} bytes."),
            Self::TooManyRedirects => f.write_str("Too many redirects."),
            Self::Busy { host } => write!(f, "Too many requests to {host} are under way."),
            Self::CircuitOpen { host, .. } => {
                write!(f, "{host} failed repeatedly and is left alone for now.")
            }
            Self::Interrupted { host } => write!(f, "The connection to {host} broke."),
            Self::Protocol { host, detail } => write!(f, "The answer of {host} is not acceptable: {detail}."),
            Self::Redirected(inner) => write!(f, "After a redirect: {inner}"),
        }
    }
}

impl StdError for EgressError {}

impl From<EgressError> for Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Busy { .. } => {
                Self::Unavailable { code: error.code(), retry_after: Duration::from_secs(1) }
            }
            EgressError::CircuitOpen { retry_after, .. } => {
                Self::Unavailable { code: error.code(), retry_after }
            }
            _ => Self::Upstream { code: error.code(), detail: error.to_string() },
        }
    }
}
