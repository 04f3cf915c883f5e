//! The second factor of people, sign-ins that wait for it, and tenants that require it.

crate::tables!(
    "m20261125_000040_second_factors",
    ["second_factor", "recovery_code", "sign_in_challenge", "sign_in_policy"],
    "
CREATE TABLE second_factor (
    id UUID PRIMARY KEY REFERENCES app_user (id),
    sealed BYTEA NOT NULL,
    last_step BIGINT NOT NULL,
    confirmed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE recovery_code (
    user_id UUID NOT NULL REFERENCES app_user (id),
    hash BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE sign_in_challenge (
    hash BYTEA PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES app_user (id),
    tenant_id UUID,
    attempts INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);
CREATE INDEX sign_in_challenge_of_user ON sign_in_challenge (user_id);
CREATE INDEX sign_in_challenge_by_expiry ON sign_in_challenge (expires_at);

CREATE TABLE sign_in_policy (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    require_second_factor BOOLEAN NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (id = tenant_id)
);
"
);
