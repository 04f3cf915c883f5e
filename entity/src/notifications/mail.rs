//! A mail to one person: written with what caused it, delivered later.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MailKind {
    VerifyEmail,
    ResetPassword,
    MagicLink,
    ChangeEmail,
    TeamInvite,
    SecurityNotice,
    Notification,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MailStatus {
    /// Waits to be delivered.
    Queued,
    /// No SMTP server is configured: it is read here.
    Kept,
    /// A server has taken it.
    Sent,
    /// Given up.
    Failed,
    /// Asked for, and not to be sent.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "mail")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: MailKind,
    pub recipient: String,
    pub subject: String,
    /// The text under the master key; gone once it was sent.
    pub sealed: Option<Vec<u8>>,
    pub status: MailStatus,
    pub reason: Option<String>,
    pub attempts: i32,
    pub next_attempt_at: DateTimeUtc,
    pub expires_at: DateTimeUtc,
    pub sent_at: Option<DateTimeUtc>,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

// A mail is to a person, who stands above tenants: no tenant's store reaches it.
crate::scope::record!("mail", scope: Id, deleted: None, metadata: None, name:);
