//! Who is calling and what they may do: passwords, tokens, API keys, roles and permissions.
//!
//! What is stored of a credential is a hash, or sealed.

pub mod access_tokens;
pub mod api_keys;
pub mod key_usage;
pub mod last_used;
pub mod networks;
pub mod opaque;
pub mod passwords;
pub mod permissions;
pub mod principal;
pub mod rights;
pub mod scopes;
pub mod sight;
pub mod signing;
mod standing;
pub mod totp;
