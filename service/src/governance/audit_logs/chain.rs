//! The hashes of a tenant's audit log. Anybody who has the rows can compute them:
//!
//! ```text
//! detailHash = SHA-256(ipSalt ‖ json([ipAddress])) ‖ SHA-256(dataSalt ‖ json([oldData, newData]))
//! hash       = SHA-256(previous hash ‖ json([1, tenantId, number, id, createdAt, actor, userId, action,
//!              outcome, code, resource, resourceId, requestId, hex(detailHash)]))
//! ```
//!
//! `json` is JSON without blanks; absent is `null`, old and new data are the stored JSON *texts*, and
//! times are RFC 3339 in UTC with `+00:00` and as many digits as needed (0, 3 or 6). Before the first
//! row stand 32 zero bytes. A row whose address or data was erased has lost its salt as well, and keeps
//! the hash: nothing can be put in their place, and nobody can find out by guessing what it was.

use aws_lc_rs::digest::{Context, SHA256};
use entity::governance::audit_log::{AuditOutcome, Model};

use crate::db::rows::time_text;

pub type Hash = [u8; 32];

/// Before the first row.
pub const START: Hash = [0; 32];
pub const SALT_BYTES: usize = 16;
const VERSION: u8 = 1;

pub fn ip_hash(salt: &[u8], ip: Option<&str>) -> Hash {
    digest(salt, &(ip,))
}

pub fn data_hash(salt: &[u8], old: Option<&str>, new: Option<&str>) -> Hash {
    digest(salt, &(old, new))
}

/// Of the row behind `previous`, whose detail's hashes it takes as given.
pub fn row_hash(previous: &[u8], row: &Model) -> Hash {
    linked(previous, &canonical(row))
}

/// What is hashed of a row beside the hash of the one before.
pub fn canonical(row: &Model) -> Vec<u8> {
    let outcome = match row.outcome {
        AuditOutcome::Succeeded => "SUCCEEDED",
        AuditOutcome::Refused => "REFUSED",
    };
    let canonical = (
        VERSION,
        row.tenant_id,
        row.number,
        row.id,
        time_text(row.created_at),
        row.actor.as_str(),
        row.user_id,
        row.action.as_str(),
        outcome,
        row.code.as_deref(),
        row.resource.as_deref(),
        row.resource_id,
        row.request_id.as_str(),
        hex(&row.detail_hash),
    );
    json(&canonical)
}

fn digest(before: &[u8], canonical: &impl serde::Serialize) -> Hash {
    linked(before, &json(canonical))
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // Texts, numbers and ids have a JSON form: this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The hash of a row whose canonical form is this.
pub fn linked(previous: &[u8], canonical: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    context.update(canonical);
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
