//! Tenants, people, their sessions and keys.

pub mod account;
pub mod api_key;
pub mod api_key_usage;
pub mod app_user;
pub mod master_key;
pub mod membership;
pub mod oidc_request;
pub mod recovery_code;
pub mod refresh_token;
pub mod second_factor;
pub mod session;
pub mod sign_in_challenge;
pub mod sign_in_policy;
pub mod signing_key;
pub mod team_invite;
pub mod team_member;
pub mod tenant;
pub mod tenant_domain;
pub mod user_device;
pub mod verification_token;
pub mod workspace;
