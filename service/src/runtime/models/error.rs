//! Why a turn failed, in kinds that the loop can act on. Messages are safe to show to the tenant.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelError {
    pub kind: ModelErrorKind,
    pub message: String,
    /// What the provider asked for, at most ten minutes.
    pub retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ModelErrorKind {
    /// Too many requests or tokens a minute.
    RateLimited,
    /// The account has no money or quota left; waiting does not help.
    QuotaExceeded,
    /// The provider has a problem of its own.
    Overloaded,
    /// Silence for longer than the request's timeout.
    Timeout,
    /// Not reached, or the connection broke in the middle of an answer.
    Network,
    /// The credential is missing, wrong, or lacks a right.
    Unauthorized,
    /// The provider refuses this request, and would again.
    InvalidRequest,
    /// Messages and answer do not fit into the model's context window.
    ContextOverflow,
    /// The provider's content policy refused.
    ContentFiltered,
    /// An answer that is not the protocol, or beyond our bounds.
    Protocol,
    /// No provider is set up for this model.
    NotConfigured,
}

impl ModelError {
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        use ModelErrorKind::{
            ContentFiltered, ContextOverflow, InvalidRequest, Network, NotConfigured, Overloaded, Protocol,
            QuotaExceeded, RateLimited, Timeout, Unauthorized,
        };
        match self.kind {
            RateLimited | Overloaded | Timeout | Network => true,
            QuotaExceeded | Unauthorized | InvalidRequest | ContextOverflow | ContentFiltered | Protocol
            | NotConfigured => false,
        }
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ModelError {}
