//! Typed extractors: the only way from a request to a handler.
//!
//! All of them answer at once and in the order of the handler's arguments, so that with [`Can`] first
//! the checks run in the order the API promises: credential, permission, then input.

mod body;
mod can;
mod idempotency;
mod if_match;
mod json;
mod path;
mod pointer;
mod query;

pub use body::Body;
pub use can::{Authenticated, Can, Public};
pub use if_match::IfMatch;
pub use json::{Json, OptionalJson};
pub use path::{Path, Segment};
pub use query::Query;
