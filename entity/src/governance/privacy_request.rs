//! A person's data, to be exported or erased in one tenant.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrivacyKind {
    /// All that the tenant has of the person.
    Export,
    /// Taking away what tells who the person is.
    Erase,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrivacyStatus {
    Pending,
    Completed,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "privacy_request")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: PrivacyKind,
    pub user_id: Uuid,
    pub status: PrivacyStatus,
    pub note: Option<String>,
    pub requested_by: String,
    /// The number of the last audit row that was rid of the person.
    pub position: i64,
    /// That of the last one which was asked by what the person is found.
    pub gathered: i64,
    /// By what that is; nothing once the erasure is complete.
    #[sea_orm(column_type = "JsonBinary")]
    pub traces: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub receipt: Json,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub completed_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("privacy request", deleted: None, metadata: None, name:);
