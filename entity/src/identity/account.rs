//! An account that a person has at an OpenID provider, known by issuer and subject.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// The operator's name for the provider.
    pub provider: String,
    pub issuer: String,
    /// The subject: what the provider calls the person, for ever.
    pub provider_account_id: String,
    /// As the provider said last.
    pub email: Option<String>,
    pub last_used_at: DateTimeUtc,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
