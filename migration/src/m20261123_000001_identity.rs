//! Tenants, users, memberships, sessions, API keys and the keys that sign access tokens.

crate::tables!(
    "m20261123_000001_identity",
    ["tenant", "app_user", "membership", "session", "refresh_token", "api_key", "signing_key"],
    "
CREATE TABLE tenant (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    domain TEXT,
    logo_url TEXT,
    plan TEXT NOT NULL,
    status TEXT NOT NULL,
    settings JSONB NOT NULL,
    data_retention_days INTEGER NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX tenant_slug_key ON tenant (slug);
CREATE UNIQUE INDEX tenant_domain_key ON tenant (domain) WHERE domain IS NOT NULL;

CREATE TABLE app_user (
    id UUID PRIMARY KEY,
    email TEXT NOT NULL,
    name TEXT,
    image TEXT,
    tenant_id UUID REFERENCES tenant (id),
    platform_role TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    password_hash TEXT,
    email_verified_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX app_user_email_key ON app_user (email);

CREATE TABLE membership (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    user_id UUID NOT NULL REFERENCES app_user (id),
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX membership_user_key ON membership (tenant_id, user_id);
CREATE INDEX membership_of_user ON membership (user_id);

CREATE TABLE session (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES app_user (id),
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    device TEXT,
    ip TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ
);
CREATE INDEX session_of_user ON session (user_id);

CREATE TABLE refresh_token (
    hash BYTEA PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES session (id),
    created_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);
CREATE INDEX refresh_token_of_session ON refresh_token (session_id);

CREATE TABLE api_key (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    hash BYTEA NOT NULL,
    scopes JSONB NOT NULL,
    created_by UUID NOT NULL REFERENCES app_user (id),
    expires_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_key_hash_key ON api_key (hash);

CREATE TABLE signing_key (
    id UUID PRIMARY KEY,
    kid TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    retired_at TIMESTAMPTZ
);
"
);
