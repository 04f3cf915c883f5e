//! Tenants, the people in them, and how people and machines get in.

pub mod accounts;
pub mod api_key_usage;
pub mod api_keys;
mod bootstrap;
pub mod me;
pub mod memberships;
pub mod operator;
pub mod plans;
pub mod second_factors;
pub mod sessions;
pub mod team_invites;
pub mod team_members;
pub mod tenant_domains;
pub mod tenant_emergency_stop;
pub mod tenant_limits;
pub mod tenant_sign_in;
pub mod tenants;
pub mod tokens;
pub mod users;
pub mod verification_tokens;
pub mod whoami;
pub mod workspaces;

pub use bootstrap::{FirstAdmin, bootstrap};
