//! A key that signs access tokens, sealed under the master key. Once it is retired only the public half is
//! left: what it signed can still be checked.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kid: String,
    /// Empty once the key is retired.
    pub sealed: Vec<u8>,
    pub created_at: DateTimeUtc,
    pub retired_at: Option<DateTimeUtc>,
    /// When it begins to sign; until then it is only published.
    pub signs_from: Option<DateTimeUtc>,
    /// Of a retired key.
    pub public_key: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
