//! Accounts that people have elsewhere, and requests to sign in with one that are under way.

crate::tables!(
    "m20261125_000041_accounts",
    ["account", "oidc_request"],
    "
CREATE TABLE account (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES app_user (id),
    provider TEXT NOT NULL,
    issuer TEXT NOT NULL,
    provider_account_id TEXT NOT NULL,
    email TEXT,
    last_used_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX account_subject_key ON account (issuer, provider_account_id);
CREATE INDEX account_of_user ON account (user_id);

CREATE TABLE oidc_request (
    state_hash BYTEA PRIMARY KEY,
    provider TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    user_id UUID REFERENCES app_user (id),
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);
CREATE INDEX oidc_request_of_user ON oidc_request (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX oidc_request_by_expiry ON oidc_request (expires_at);
"
);
