//! Everything Mission Control does, without HTTP. See ARCHITECTURE.md for the rooms.

pub mod auth;
pub mod clock;
pub mod egress;
pub mod error;
pub mod ids;
pub mod runtime;
pub mod schema;
pub mod secrets;
pub mod templates;
