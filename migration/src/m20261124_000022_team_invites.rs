//! Invitations by mail.

crate::tables!(
    "m20261124_000022_team_invites",
    ["team_invite"],
    "
CREATE TABLE team_invite (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    invited_by UUID NOT NULL REFERENCES app_user (id),
    accepted_by UUID REFERENCES app_user (id),
    expires_at TIMESTAMPTZ NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX team_invite_token_key ON team_invite (token_hash);
CREATE UNIQUE INDEX team_invite_email_key ON team_invite (tenant_id, email) WHERE status = 'PENDING';
"
);
