//! Integrations: connections to other systems and the credentials for them.

pub mod credentials;
pub mod integrations;
pub mod providers;

pub use credentials::TenantSecrets;
pub use providers::provider;
