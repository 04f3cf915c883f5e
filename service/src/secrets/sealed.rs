//! Every column that holds sealed values: what a rotation goes through. A test reads the migrated schema and
//! fails for a column of bytes that stands neither here nor in [`PLAIN`].

use uuid::Uuid;

use super::Place;

/// A column of sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub table: &'static str,
    pub column: &'static str,
    /// The column of the row's id; together with `tenant_id`, where there is one, it is the primary key.
    pub row: &'static str,
    /// Whether the rows are tenants'; else the tenant of their places is nil.
    pub of_tenant: bool,
}

impl Sealed {
    pub fn place(&self, tenant: Uuid, row: Uuid) -> Place {
        Place { tenant, table: self.table, column: self.column, row }
    }
}

const fn of_tenant(table: &'static str, column: &'static str) -> Sealed {
    Sealed { table, column, row: "id", of_tenant: true }
}

const fn of_platform(table: &'static str, column: &'static str) -> Sealed {
    Sealed { table, column, row: "id", of_tenant: false }
}

pub const SEALED: &[Sealed] = &[
    of_tenant("idempotency_record", "answer"),
    of_tenant("inbound_hook", "previous_secret"),
    of_tenant("inbound_hook", "secret"),
    of_tenant("integration", "credentials"),
    of_platform("mail", "sealed"),
    of_platform("second_factor", "sealed"),
    of_platform("signing_key", "sealed"),
    of_tenant("worker", "delivery_secret"),
];

/// Columns of bytes that hold hashes, salts and public keys, and what others sent.
pub const PLAIN: &[(&str, &str)] = &[
    ("api_key", "hash"),
    ("api_key", "previous_hash"),
    ("audit_chain", "anchor_hash"),
    ("audit_chain", "hash"),
    ("audit_log", "data_salt"),
    ("audit_log", "detail_hash"),
    ("audit_log", "hash"),
    ("audit_log", "ip_salt"),
    ("idempotency_record", "fingerprint"),
    ("hook_body", "body"),
    ("inbound_hook", "previous_token_hash"),
    ("inbound_hook", "token_hash"),
    ("oidc_request", "state_hash"),
    ("recovery_code", "hash"),
    ("refresh_token", "hash"),
    ("sign_in_challenge", "hash"),
    ("signing_key", "public_key"),
    ("team_invite", "token_hash"),
    ("user_device", "fingerprint"),
    ("verification_token", "hash"),
];
