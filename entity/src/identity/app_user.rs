//! A person, who may belong to many tenants.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlatformRole {
    Member,
    Admin,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "app_user")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub email: String,
    pub name: Option<String>,
    pub image: Option<String>,
    pub tenant_id: Option<Uuid>,
    pub platform_role: PlatformRole,
    pub is_active: bool,
    pub password_hash: Option<String>,
    pub email_verified_at: Option<DateTimeUtc>,
    /// Since when an administrator of the platform has barred the person.
    pub deactivated_at: Option<DateTimeUtc>,
    /// The version of the terms that the person accepted, and when.
    pub terms_version: Option<String>,
    pub terms_accepted_at: Option<DateTimeUtc>,
    /// The same of the privacy notice.
    pub privacy_version: Option<String>,
    pub privacy_accepted_at: Option<DateTimeUtc>,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

// People stand above tenants: no tenant's store reaches them.
crate::scope::record!("user", scope: Id, deleted: None, metadata: None, name:);
