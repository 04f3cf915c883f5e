//! Tenants, the people in them, and how people and machines get in.

pub mod api_keys;
mod bootstrap;
pub mod me;
pub mod memberships;
pub mod operator;
pub mod plans;
pub mod sessions;
pub mod team_invites;
pub mod team_members;
pub mod tenant_limits;
pub mod tenants;
pub(crate) mod users;
pub mod verification_tokens;
pub mod whoami;
pub mod workspaces;

pub use bootstrap::{FirstAdmin, bootstrap};
