//! Isolation, generated from the OpenAPI document: every operation, every id, every role, every scope.
//! An operation that the table in `cases` does not have fails the tests.

mod audit;
mod cases;
mod fields;
mod positions;
mod queries;
mod repetitions;
mod request;
mod revisions;
mod roles;
pub mod rows;
mod secrets;
mod standing;
mod tenants;
mod workspaces;
pub mod world;
