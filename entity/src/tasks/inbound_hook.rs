//! A signed inbound URL of a WEBHOOK task definition. The token in the URL is stored as its hash, the secret of the
//! signature sealed; after a rotation the ones before work for a while.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How senders prove that a delivery is theirs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookScheme {
    StandardWebhooks,
    Github,
    Stripe,
    Slack,
    Hmac,
    /// Whoever knows the URL may send.
    None,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "inbound_hook")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// That of its definition, which it moves with.
    pub workspace_id: Option<Uuid>,
    pub definition_id: Uuid,
    pub name: String,
    pub scheme: HookScheme,
    #[sea_orm(column_type = "JsonBinary")]
    pub config: Json,
    pub secret: Option<Vec<u8>>,
    pub previous_secret: Option<Vec<u8>>,
    pub previous_secret_until: Option<DateTimeUtc>,
    pub token_hash: Vec<u8>,
    pub previous_token_hash: Option<Vec<u8>>,
    pub previous_token_until: Option<DateTimeUtc>,
    pub is_active: bool,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub deleted_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("inbound hook", place: { within }, deleted: Some(Column::DeletedAt), metadata: Some(Column::Metadata), name: name);
