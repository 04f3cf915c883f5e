//! Records kept about calls.

pub mod idempotency_record;
