//! An organisation: the unit of isolation.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Plan {
    Free,
    Starter,
    Pro,
    Enterprise,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TenantStatus {
    Active,
    Suspended,
    Closing,
    /// Its rows are being removed; nobody is in it any more.
    Erasing,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub domain: Option<String>,
    pub logo_url: Option<String>,
    pub plan: Plan,
    pub status: TenantStatus,
    /// Why it is suspended.
    pub status_reason: Option<String>,
    pub closed_at: Option<DateTimeUtc>,
    /// The actor who closed it.
    pub closed_by: Option<String>,
    /// The status that it goes back to when it is not closed after all.
    pub closed_from: Option<TenantStatus>,
    /// From when on its rows are removed.
    pub erase_at: Option<DateTimeUtc>,
    /// Since when the emergency stop holds.
    pub stopped_at: Option<DateTimeUtc>,
    pub stopped_by: Option<String>,
    pub stop_reason: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub settings: Json,
    pub data_retention_days: i32,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("tenant", scope: Id, deleted: None, metadata: None, name: name);
