//! A process that executes runs.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "engine_node")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    pub started_at: DateTimeUtc,
    pub last_seen_at: DateTimeUtc,
    /// The versions of the master keys that it knows, as in `1 2`.
    pub key_versions: String,
    /// The version that it seals with.
    pub seals_with: Option<i32>,
    /// When it ended in order.
    pub stopped_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
