//! Database errors become the product's errors in one place.

use std::time::Duration;

use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr};

use crate::error::Error;

/// A constraint that a statement broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    Unique,
    ForeignKey,
    Check,
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if is_overload(&error) {
            return Self::Unavailable { code: "database_busy", retry_after: Duration::from_secs(1) };
        }
        // The workspace that a row was to belong to.
        if matches!(error, DbErr::RecordNotInserted) {
            return Self::conflict("workspace_archived", "The workspace is archived or gone.");
        }
        match violation(&error) {
            // Services map the violations they expect; one that they did not is still the caller's conflict.
            Some(Violation::Unique) => {
                Self::conflict("already_exists", "A resource with these values exists.")
            }
            Some(Violation::ForeignKey) => {
                Self::conflict("in_use", "A referenced resource is missing or still in use.")
            }
            _ => Self::internal(error),
        }
    }
}

/// Turns a broken constraint of the given kind into `expected`, and leaves other errors as they are.
pub fn on_violation(kind: Violation, expected: Error) -> impl FnOnce(DbErr) -> Error {
    move |error| if violation(&error) == Some(kind) { expected } else { error.into() }
}

pub fn violation(error: &DbErr) -> Option<Violation> {
    let code = code(error)?;
    match code.as_str() {
        "23505" | "1555" | "2067" => Some(Violation::Unique),
        "23503" | "23001" | "787" => Some(Violation::ForeignKey),
        "23514" | "275" => Some(Violation::Check),
        _ => None,
    }
}

/// The database could not do it now, whatever it was: nothing is wrong with the rows.
pub fn is_overload(error: &DbErr) -> bool {
    // Serialization failure, deadlock, lock and statement time-outs, shutdown; SQLITE_BUSY.
    if matches!(
        code(error).as_deref(),
        Some("40001" | "40P01" | "55P03" | "57014" | "57P01" | "57P03" | "5" | "517")
    ) {
        return true;
    }
    match error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            matches!(cause.as_ref(), sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
        }
        _ => false,
    }
}

fn code(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return None;
    };
    cause.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}
