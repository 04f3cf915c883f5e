//! How an attempt ends, before what it still has to write is added. The error side of every step of
//! the loop, so that `?` leads to the one place that ends it.

use chrono::{DateTime, Utc};
use entity::tasks::task_run::RunReason;
use serde_json::Value;

use crate::engine::{LeaseLost, Outcome, Progress, Question, RunError, Spawn, Stop, Wait};
use crate::error::Error;

#[derive(Debug)]
pub(super) enum End {
    Completed {
        reason: RunReason,
        output: Value,
    },
    Failed(RunError),
    Asked {
        reason: RunReason,
        questions: Vec<Question>,
    },
    Waits {
        waits: Vec<Wait>,
    },
    /// Child runs are started, and waited for.
    Delegated(Spawn),
    /// A rate limit has no token before then.
    Limited {
        until: DateTime<Utc>,
        limit: Value,
    },
    Cancelled,
    Released,
    LeaseLost,
}

/// Go on, or end.
pub(super) type Flow<T = ()> = Result<T, End>;

impl End {
    /// A failure that no repetition mends.
    pub(super) fn failed(reason: RunReason, code: &str, message: impl Into<String>) -> Self {
        Self::Failed(RunError {
            reason,
            code: code.to_owned(),
            message: message.into(),
            retryable: false,
            retry_after: None,
        })
    }

    /// The outcome, with everything that is not written yet.
    pub(super) fn with(self, progress: Progress) -> Outcome {
        match self {
            Self::Completed { reason, output } => Outcome::Completed { reason, output, progress },
            Self::Failed(error) => Outcome::Failed { error, progress },
            Self::Asked { reason, questions } => Outcome::Asked { reason, questions, progress },
            Self::Waits { waits } => Outcome::Waits { waits, progress },
            Self::Delegated(spawn) => Outcome::Delegated { spawn, progress },
            Self::Limited { until, limit } => Outcome::Limited { until, limit, progress },
            Self::Cancelled => Outcome::Cancelled { progress },
            Self::Released => Outcome::Released { progress },
            Self::LeaseLost => Outcome::LeaseLost,
        }
    }
}

impl From<LeaseLost> for End {
    fn from(LeaseLost: LeaseLost) -> Self {
        Self::LeaseLost
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::LeaseLost => Self::LeaseLost,
            Stop::Draining => Self::Released,
            Stop::TimedOut => Self::Failed(RunError::timed_out()),
            Stop::Stalled => Self::Failed(RunError::stalled()),
        }
    }
}

/// A failure of the platform is tried again; a refusal is not.
impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Internal(cause) => {
                tracing::error!(%cause, "a run failed inside the platform");
                Self::Failed(RunError {
                    reason: RunReason::Error,
                    code: "internal".to_owned(),
                    message: "The platform failed; the cause is in its log.".to_owned(),
                    retryable: true,
                    retry_after: None,
                })
            }
            Error::Unavailable { code, retry_after } => Self::Failed(RunError {
                reason: RunReason::Error,
                code: code.to_owned(),
                message: error_text(&Error::Unavailable { code, retry_after }),
                retryable: true,
                retry_after: Some(retry_after),
            }),
            refusal => Self::failed(RunReason::NonRetryable, "invalid_run", error_text(&refusal)),
        }
    }
}

fn error_text(error: &Error) -> String {
    match error {
        Error::Invalid { errors } => errors
            .iter()
            .map(|error| format!("{}: {}", error.pointer, error.message))
            .collect::<Vec<_>>()
            .join("\n"),
        other => other.to_string(),
    }
}
