//! Tenants, people, their sessions and keys.

pub mod api_key;
pub mod app_user;
pub mod master_key;
pub mod membership;
pub mod refresh_token;
pub mod session;
pub mod signing_key;
pub mod team_invite;
pub mod team_member;
pub mod tenant;
pub mod verification_token;
pub mod workspace;
