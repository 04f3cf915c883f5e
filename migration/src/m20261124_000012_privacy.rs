//! What people asked to know, or to have erased. `user_id` refers to nobody: the request outlives the
//! person's account.

crate::tables!(
    "m20261124_000012_privacy",
    ["privacy_request"],
    "
CREATE TABLE privacy_request (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    user_id UUID NOT NULL,
    status TEXT NOT NULL,
    note TEXT,
    requested_by TEXT NOT NULL,
    position BIGINT NOT NULL,
    receipt JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    completed_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX privacy_request_open ON privacy_request (id) WHERE status = 'PENDING';
"
);
