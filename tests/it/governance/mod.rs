mod audit_logs;
mod audit_tampering;
mod team_activity_logs;
mod tenant_retention;
