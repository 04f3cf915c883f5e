//! What people are told, how they wish to be told, and the devices they have signed in from.

use sea_orm_migration::prelude::*;

use crate::ddl;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_000031_notifications"
    }
}

const UP: &str = "
CREATE TABLE notification (
    user_id UUID NOT NULL REFERENCES app_user (id),
    id UUID NOT NULL,
    tenant_id UUID,
    number BIGINT NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    resource TEXT,
    resource_id UUID,
    data JSONB NOT NULL,
    in_app BOOLEAN NOT NULL,
    read_at TIMESTAMPTZ,
    email_due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, id)
);
CREATE UNIQUE INDEX notification_number_key ON notification (user_id, number);
CREATE INDEX notification_unread ON notification (user_id, number) WHERE read_at IS NULL;
CREATE INDEX notification_mail_due ON notification (email_due_at) WHERE email_due_at IS NOT NULL;
CREATE INDEX notification_by_age ON notification (created_at);

CREATE TABLE notification_inbox (
    user_id UUID PRIMARY KEY REFERENCES app_user (id),
    number BIGINT NOT NULL
);

CREATE TABLE notification_preference (
    user_id UUID PRIMARY KEY REFERENCES app_user (id),
    channels JSONB NOT NULL,
    min_severity TEXT NOT NULL,
    digest TEXT NOT NULL,
    quiet_from TEXT,
    quiet_until TEXT,
    time_zone TEXT NOT NULL,
    revision BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE user_device (
    user_id UUID NOT NULL REFERENCES app_user (id),
    fingerprint BYTEA NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, fingerprint)
);

ALTER TABLE api_key ADD COLUMN warn_at TIMESTAMPTZ;
UPDATE api_key SET warn_at = created_at WHERE expires_at IS NOT NULL;
CREATE INDEX api_key_to_warn ON api_key (warn_at) WHERE warn_at IS NOT NULL;

ALTER TABLE approval ADD COLUMN told_at TIMESTAMPTZ;
CREATE INDEX approval_untold ON approval (created_at) WHERE told_at IS NULL AND status = 'PENDING';
";

const DOWN: &str = "
DROP INDEX approval_untold;
ALTER TABLE approval DROP COLUMN told_at;
DROP INDEX api_key_to_warn;
ALTER TABLE api_key DROP COLUMN warn_at;
DROP TABLE user_device;
DROP TABLE notification_preference;
DROP TABLE notification_inbox;
DROP TABLE notification;
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DOWN).await
    }
}
