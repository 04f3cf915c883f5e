//! Records kept about calls.

pub mod audit_chain;
pub mod audit_log;
pub mod idempotency_record;
pub mod privacy_request;
pub mod quarantine;
pub mod retention_policy;
pub mod tenant_erasure;
