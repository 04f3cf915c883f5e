//! A tenant's own price of a model, in force from a moment on.

use sea_orm::entity::prelude::*;

use crate::money::Nanos;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "model_price")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub model: String,
    pub currency: String,
    pub input_nanos: Nanos,
    pub cache_read_nanos: Nanos,
    pub cache_write_nanos: Nanos,
    pub output_nanos: Nanos,
    pub reasoning_nanos: Nanos,
    pub effective_from: DateTimeUtc,
    pub note: Option<String>,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("model price", deleted: None, metadata: None, name:);
