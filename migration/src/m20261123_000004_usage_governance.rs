//! A tenant's own model prices, and the answers kept for `Idempotency-Key`.

crate::tables!(
    "m20261123_000004_usage_governance",
    ["model_price", "idempotency_record"],
    "
CREATE TABLE model_price (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    model TEXT NOT NULL,
    currency TEXT NOT NULL,
    input_nanos BIGINT NOT NULL,
    cache_read_nanos BIGINT NOT NULL,
    cache_write_nanos BIGINT NOT NULL,
    output_nanos BIGINT NOT NULL,
    reasoning_nanos BIGINT NOT NULL,
    effective_from TIMESTAMPTZ NOT NULL,
    note TEXT,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX model_price_model_key ON model_price (tenant_id, model, effective_from);

CREATE TABLE idempotency_record (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    answer BYTEA,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX idempotency_record_key ON idempotency_record (tenant_id, principal, route, key);
CREATE INDEX idempotency_record_expiry ON idempotency_record (expires_at);
"
);
