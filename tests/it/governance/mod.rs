mod audit_logs;
mod audit_tampering;
mod privacy_requests;
mod team_activity_logs;
mod tenant_erasures;
mod tenant_retention;
