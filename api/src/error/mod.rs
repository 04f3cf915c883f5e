//! The one mapping of errors to HTTP: RFC 9457 problems with a stable `code`.
//!
//! What a caller reads and what the log keeps are separate fields; only `observe` joins them.

pub mod codes;
mod problem;

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use service::error::{Cause, Error, FieldError};

pub use problem::Problem;

/// An error on its way to the caller.
#[derive(Debug)]
pub struct HttpError {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: Cow<'static, str>,
    pub errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    allow: Option<Box<str>>,
    closes: bool,
    cause: Option<Cause>,
}

impl HttpError {
    /// An error of the HTTP layer itself. `code` is a row of [`codes::CODES`], which gives the status.
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = codes::find(code).map_or(StatusCode::INTERNAL_SERVER_ERROR, |row| row.status());
        Self::with_status(status, code, detail)
    }

    fn with_status(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            allow: None,
            closes: false,
            cause: None,
        }
    }

    /// The framework's own refusal (no route, a bad path, an unreadable header), by its status.
    pub fn framework(status: StatusCode) -> Self {
        let code = codes::for_status(status);
        let detail = codes::find(code).map_or("The request failed.", |row| row.meaning);
        Self::with_status(status, code, detail)
    }

    pub fn method_not_allowed(allow: &str) -> Self {
        let mut error = Self::new("method_not_allowed", "This resource does not know that method.");
        error.allow = Some(allow.into());
        error
    }

    /// Ends the connection after the answer: its body was not read to the end.
    pub fn and_close(mut self) -> Self {
        self.closes = true;
        self
    }

    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated { code, detail } => {
                Self::with_status(StatusCode::UNAUTHORIZED, code, detail)
            }
            Error::Forbidden { .. } => {
                Self::with_status(StatusCode::FORBIDDEN, "permission_missing", error.to_string())
            }
            Error::Denied { code, detail } => Self::with_status(StatusCode::FORBIDDEN, code, detail),
            Error::NotFound { .. } => {
                Self::with_status(StatusCode::NOT_FOUND, "not_found", error.to_string())
            }
            Error::Conflict { code, detail } => Self::with_status(StatusCode::CONFLICT, code, detail),
            Error::PreconditionFailed => {
                Self::with_status(StatusCode::PRECONDITION_FAILED, "revision_changed", error.to_string())
            }
            Error::Invalid { .. } => {
                let detail = error.to_string();
                let Error::Invalid { errors } = error else { return Self::new("internal", "") };
                Self { errors, ..Self::new("invalid", detail) }
            }
            Error::PaymentRequired { code, detail } => {
                Self::with_status(StatusCode::PAYMENT_REQUIRED, code, detail)
            }
            Error::RateLimited { code, retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::with_status(StatusCode::TOO_MANY_REQUESTS, code, error.to_string())
            },
            Error::Upstream { code, detail } => Self::with_status(StatusCode::BAD_GATEWAY, code, detail),
            Error::Unavailable { code, retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::with_status(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
            },
            Error::Internal(cause) => Self {
                cause: Some(cause),
                ..Self::new("internal", "The server failed. The request id finds the cause.")
            },
        }
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// The answer without its request id, which `observe` adds.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(wait) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds(wait)));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_ref()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, r#"Bearer realm="mission-control""#));
        }
        if self.closes {
            response.force_close();
        }
        response.content_type("application/problem+json").json(Problem::of(self, ""))
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
pub fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_cause_is_kept_and_not_shown() {
        let error = HttpError::from(Error::internal("password=hunter2"));
        assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(error.cause().unwrap().to_string(), "password=hunter2");
        let shown = serde_json::to_string(&Problem::of(&error, "r1")).unwrap();
        assert!(!shown.contains("hunter2"));
        assert!(shown.contains(r#""requestId":"r1""#));
    }

    #[test]
    fn field_errors_and_headers_survive() {
        let error = HttpError::from(Error::invalid("/name", "length", "is too long"));
        assert_eq!(error.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(error.errors.len(), 1);

        let limited = Error::RateLimited { code: "rate_limit", retry_after: Duration::from_millis(1200) };
        let response = HttpError::from(limited).error_response();
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
    }
}
