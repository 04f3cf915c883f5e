//! The outbox of mails, and the tokens that are sent in them.

crate::tables!(
    "m20261124_000020_people",
    ["mail", "verification_token"],
    "
CREATE TABLE mail (
    id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    sealed BYTEA,
    status TEXT NOT NULL,
    reason TEXT,
    attempts INTEGER NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    sent_at TIMESTAMPTZ,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX mail_due ON mail (next_attempt_at) WHERE status = 'QUEUED';
CREATE INDEX mail_by_recipient ON mail (recipient, id);
CREATE INDEX mail_by_age ON mail (created_at);

CREATE TABLE verification_token (
    hash BYTEA PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES app_user (id),
    purpose TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);
CREATE INDEX verification_token_of_user ON verification_token (user_id, purpose);
CREATE INDEX verification_token_by_expiry ON verification_token (expires_at);
"
);
