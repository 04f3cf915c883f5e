//! How far the rate limit of a tool, or of an integration, is used up.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rate_bucket")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    /// That of the tool or integration.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it would be as if it had never been used, in microseconds since 1970.
    pub used_until: i64,
    /// The last place that was given to what waits.
    pub promised_until: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
