//! The receipt of a tenant that was closed and erased: all that is left of it beside the end of its audit chain.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_erasure")]
pub struct Model {
    /// The tenant's.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Nobody else gets it.
    pub slug: String,
    pub requested_by: String,
    pub requested_at: DateTimeUtc,
    /// How many rows of each table are gone.
    #[sea_orm(column_type = "JsonBinary")]
    pub removed: Json,
    /// NULL while rows are being removed.
    pub completed_at: Option<DateTimeUtc>,
    pub revision: i64,
    /// When the removal began.
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

// It is the platform's: the tenant is gone.
crate::scope::record!("tenant erasure", scope: Id, deleted: None, metadata: None, name:);
