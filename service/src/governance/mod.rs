//! What is recorded about calls, how long it is kept, and what a person may ask of it.

pub mod audit_logs;
pub mod personal_data;
pub mod privacy_requests;
pub mod team_activity_logs;
pub mod tenant_erasures;
pub mod tenant_retention;
