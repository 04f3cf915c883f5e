//! A master key that this database was told of. The key itself is never here: its fingerprint tells whether
//! a node's key of that version is the same.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "master_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i32,
    pub fingerprint: String,
    pub created_at: DateTimeUtc,
    /// The key with the latest one seals; none while nodes are still told of it.
    pub seals_since: Option<DateTimeUtc>,
    /// When nothing was found under it any more.
    pub emptied_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
