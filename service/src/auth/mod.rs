//! Who is calling and what they may do: passwords, tokens, API keys, roles and permissions.
//!
//! Nothing here touches the database: what is stored is a hash or a public key, and comes in as an
//! argument.

pub mod access_tokens;
pub mod api_keys;
pub mod opaque;
pub mod passwords;
pub mod permissions;
pub mod rights;
pub mod scopes;
