//! The one error type of the product. It is free of HTTP: `api/src/error.rs` maps it once.
//!
//! What a caller may read and what an operator must know are separate: [`Error::Internal`] keeps
//! its cause for the log and shows nothing.

use std::borrow::Cow;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing that is wrong with the input, at an RFC 6901 JSON pointer (`/limits/maxSteps`),
/// or the name of a query parameter or header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub pointer: String,
    pub code: Cow<'static, str>,
    pub message: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: Cow::Borrowed(code), message: message.into() }
    }
}

/// One step down a JSON pointer (RFC 6901), escaped.
pub fn pointer_to(parent: &str, step: impl ToString) -> String {
    format!("{parent}/{}", step.to_string().replace('~', "~0").replace('/', "~1"))
}

#[derive(Debug)]
pub enum Error {
    /// No credential, or one that is not valid. 401.
    Unauthenticated { code: &'static str, detail: Cow<'static, str> },
    /// The caller lacks the named permission. 403.
    Forbidden { permission: &'static str },
    /// The caller may not, for another reason than a permission. 403.
    Denied { code: &'static str, detail: Cow<'static, str> },
    /// Does not exist, or not for this caller: the two look the same. 404.
    NotFound { kind: &'static str },
    /// The state of the resource forbids it. 409.
    Conflict { code: &'static str, detail: Cow<'static, str> },
    /// `If-Match` names another revision. 412.
    PreconditionFailed,
    /// The body, a parameter or a header breaks a rule. 422.
    Invalid { errors: Vec<FieldError> },
    /// Budget or credit is used up. 402.
    PaymentRequired { code: &'static str, detail: Cow<'static, str> },
    /// Too many requests; `code` names the limit. 429.
    RateLimited { code: &'static str, retry_after: Duration },
    /// Another system that the caller named did not do its part. 502.
    Upstream { code: &'static str, detail: String },
    /// We cannot serve it now; trying again later may work. 503.
    Unavailable { code: &'static str, retry_after: Duration },
    /// A defect or a broken dependency. The cause is logged and never shown. 500.
    Internal(Cause),
}

/// The cause of an internal error: any error or text, kept for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

impl Error {
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    pub fn not_found(kind: &'static str) -> Self {
        Self::NotFound { kind }
    }

    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }

    pub fn denied(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Denied { code, detail: detail.into() }
    }

    pub fn unauthenticated(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Unauthenticated { code, detail: detail.into() }
    }

    /// One invalid field.
    pub fn invalid(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { errors: vec![FieldError::new(pointer, code, message)] }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unauthenticated { detail, .. }
            | Self::Denied { detail, .. }
            | Self::Conflict { detail, .. }
            | Self::PaymentRequired { detail, .. } => f.write_str(detail),
            Self::Upstream { detail, .. } => f.write_str(detail),
            Self::Forbidden { permission } => write!(f, "The permission {permission} is missing."),
            Self::NotFound { kind } => write!(f, "There is no such {kind}."),
            Self::PreconditionFailed => f.write_str("The resource was changed since that revision."),
            Self::Invalid { errors } => match errors.as_slice() {
                [one] if one.pointer.is_empty() => write!(f, "The body {}.", one.message),
                [one] => write!(f, "{}: {}", one.pointer, one.message),
                many => write!(f, "{} fields are not valid.", many.len()),
            },
            Self::RateLimited { code, .. } => write!(f, "The limit {code} is reached."),
            Self::Unavailable { code, .. } => write!(f, "Not available now: {code}."),
            Self::Internal(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for Error {}
