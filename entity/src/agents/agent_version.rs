//! One immutable behaviour of an agent; only its note and labels change.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "agent_version")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub agent_id: Uuid,
    pub number: i32,
    #[sea_orm(column_type = "JsonBinary")]
    pub snapshot: Json,
    pub note: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub labels: Json,
    pub author: String,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("agent version", place: { agent: AgentId }, deleted: None, metadata: None, name:);
