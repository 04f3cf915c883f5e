//! How a person wishes to be told.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::notification::Severity;

/// When mails go out.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Digest {
    /// Each at once.
    Off,
    /// Together, at the full hour.
    Hourly,
    /// Together, at eight in the morning of the person's zone.
    Daily,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "notification_preference")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// By type: which channels.
    #[sea_orm(column_type = "JsonBinary")]
    pub channels: Json,
    pub min_severity: Severity,
    pub digest: Digest,
    /// `22:00`, in the person's zone.
    pub quiet_from: Option<String>,
    pub quiet_until: Option<String>,
    /// Of the IANA database.
    pub time_zone: String,
    pub revision: i64,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
