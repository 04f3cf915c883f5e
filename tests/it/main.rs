//! The one integration binary. Tests mirror the URL tree; each runs on SQLite and on PostgreSQL, and
//! a second tenant is always there.

#[macro_use]
mod support;

mod agents;
mod backup;
mod chaos;
mod commands;
mod conventions;
mod docs;
mod engine;
mod governance;
mod identity;
mod integrations;
mod matrix;
mod notifications;
mod rules;
mod runtime;
mod secrets;
mod tasks;
mod usage;
