//! A machine's credential, by its SHA-256.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The key sees and does nothing outside of it.
    pub workspace_id: Option<Uuid>,
    pub name: String,
    pub prefix: String,
    pub last4: String,
    pub hash: Vec<u8>,
    #[sea_orm(column_type = "JsonBinary")]
    pub scopes: Json,
    /// The only agents that the key reaches; all of the tenant where it is NULL.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub agent_ids: Option<Json>,
    /// Networks in CIDR notation; any address where it is empty.
    #[sea_orm(column_type = "JsonBinary")]
    pub ip_allow_list: Json,
    /// Of the secret before the last rotation.
    pub previous_hash: Option<Vec<u8>>,
    pub previous_expires_at: Option<DateTimeUtc>,
    pub rotated_at: Option<DateTimeUtc>,
    pub created_by: Uuid,
    pub expires_at: Option<DateTimeUtc>,
    /// When its maker is told that it ends soon; NULL once they were.
    pub warn_at: Option<DateTimeUtc>,
    pub last_used_at: Option<DateTimeUtc>,
    pub revoked_at: Option<DateTimeUtc>,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("API key", place: { within }, deleted: None, metadata: Some(Column::Metadata), name: name);
