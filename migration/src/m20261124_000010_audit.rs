//! The audit log of each tenant and the two ends of its hash chain.
//!
//! The database refuses what nobody may do: a row changes only by losing what is personal in it, goes
//! only when the chain's anchor has passed it, and neither end of a chain ever moves back. Neither
//! table refers to `tenant`: the record outlives what it tells of.

use crate::ddl::Guard;

crate::tables!(
    "m20261124_000010_audit",
    ["audit_chain", "audit_log"],
    "
CREATE TABLE audit_chain (
    tenant_id UUID PRIMARY KEY,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    anchor_number BIGINT NOT NULL,
    anchor_hash BYTEA NOT NULL,
    CHECK (anchor_number <= number)
);

CREATE TABLE audit_log (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    actor TEXT NOT NULL,
    user_id UUID,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT,
    resource TEXT,
    resource_id UUID,
    request_id TEXT NOT NULL,
    ip_salt BYTEA,
    ip_address TEXT,
    data_salt BYTEA,
    old_data TEXT,
    new_data TEXT,
    detail_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX audit_log_number_key ON audit_log (tenant_id, number);
CREATE INDEX audit_log_of_resource ON audit_log (tenant_id, resource_id, id) WHERE resource_id IS NOT NULL;
CREATE INDEX audit_log_of_user ON audit_log (tenant_id, user_id, id) WHERE user_id IS NOT NULL;
",
    guards: GUARDS
);

/// Only what the detail's hashes stand for may go: the address with its salt, old and new data with theirs.
const CHANGES: &str = "NEW.tenant_id IS DISTINCT FROM OLD.tenant_id OR NEW.id IS DISTINCT FROM OLD.id \
    OR NEW.number IS DISTINCT FROM OLD.number OR NEW.actor IS DISTINCT FROM OLD.actor \
    OR NEW.user_id IS DISTINCT FROM OLD.user_id OR NEW.action IS DISTINCT FROM OLD.action \
    OR NEW.outcome IS DISTINCT FROM OLD.outcome OR NEW.code IS DISTINCT FROM OLD.code \
    OR NEW.resource IS DISTINCT FROM OLD.resource OR NEW.resource_id IS DISTINCT FROM OLD.resource_id \
    OR NEW.request_id IS DISTINCT FROM OLD.request_id OR NEW.detail_hash IS DISTINCT FROM OLD.detail_hash \
    OR NEW.hash IS DISTINCT FROM OLD.hash OR NEW.created_at IS DISTINCT FROM OLD.created_at \
    OR NOT ((NEW.ip_salt IS NULL AND NEW.ip_address IS NULL) \
        OR (NEW.ip_salt IS NOT DISTINCT FROM OLD.ip_salt AND NEW.ip_address IS NOT DISTINCT FROM OLD.ip_address)) \
    OR NOT ((NEW.data_salt IS NULL AND NEW.old_data IS NULL AND NEW.new_data IS NULL) \
        OR (NEW.data_salt IS NOT DISTINCT FROM OLD.data_salt AND NEW.old_data IS NOT DISTINCT FROM OLD.old_data \
            AND NEW.new_data IS NOT DISTINCT FROM OLD.new_data))";

const NOT_PASSED: &str = "NOT EXISTS (SELECT 1 FROM audit_chain c \
    WHERE c.tenant_id = OLD.tenant_id AND c.anchor_number >= OLD.number)";

const MOVES_BACK: &str = "NEW.tenant_id IS DISTINCT FROM OLD.tenant_id OR NEW.number < OLD.number \
    OR NEW.anchor_number < OLD.anchor_number \
    OR (NEW.number = OLD.number AND NEW.hash IS DISTINCT FROM OLD.hash) \
    OR (NEW.anchor_number = OLD.anchor_number AND NEW.anchor_hash IS DISTINCT FROM OLD.anchor_hash)";

const GUARDS: [Guard; 4] = [
    Guard { table: "audit_log", event: "UPDATE", when: CHANGES, message: "an audit row does not change" },
    Guard {
        table: "audit_log",
        event: "DELETE",
        when: NOT_PASSED,
        message: "an audit row goes only behind the anchor of its chain",
    },
    Guard {
        table: "audit_chain",
        event: "UPDATE",
        when: MOVES_BACK,
        message: "an audit chain does not move back",
    },
    Guard { table: "audit_chain", event: "DELETE", when: "TRUE", message: "an audit chain is kept for ever" },
];
