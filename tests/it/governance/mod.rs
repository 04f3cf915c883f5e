mod audit_logs;
mod audit_tampering;
