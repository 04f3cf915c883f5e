//! Everything Mission Control does, without HTTP. See ARCHITECTURE.md for the rooms.

pub mod agents;
pub mod auth;
pub mod backup;
pub mod clock;
pub mod config;
pub mod core;
pub mod crud;
pub mod ctx;
pub mod db;
pub mod egress;
pub mod engine;
pub mod error;
pub mod governance;
pub mod identity;
pub mod ids;
pub mod integrations;
pub mod notifications;
pub mod runtime;
pub mod schema;
pub mod secrets;
pub mod tasks;
pub mod templates;

pub mod usage;
