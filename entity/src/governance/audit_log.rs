//! Who did what: one row for a change, or for a refusal. It never changes, but may lose its detail.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the call ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuditOutcome {
    Succeeded,
    Refused,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub number: i64,
    pub actor: String,
    pub user_id: Option<Uuid>,
    pub action: String,
    pub outcome: AuditOutcome,
    pub code: Option<String>,
    pub resource: Option<String>,
    pub resource_id: Option<Uuid>,
    pub request_id: String,
    pub ip_salt: Option<Vec<u8>>,
    pub ip_address: Option<String>,
    pub data_salt: Option<Vec<u8>>,
    /// JSON text: its bytes are hashed, so the database must not rewrite them.
    pub old_data: Option<String>,
    pub new_data: Option<String>,
    /// Of the address, then of the data.
    pub detail_hash: Vec<u8>,
    pub hash: Vec<u8>,
    pub created_at: DateTimeUtc,
    /// Who is told of it in the feed; no part of the chain.
    pub workspace_id: Option<Uuid>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("audit log", Id);

impl crate::scope::Record for Entity {
    const REVISION: Column = Column::Number;
    const CREATED_AT: Column = Column::CreatedAt;
    const UPDATED_AT: Column = Column::CreatedAt;
    const DELETED_AT: Option<Column> = None;
    const METADATA: Option<Column> = None;
    const NAME: Option<Column> = None;
    const SORTS_BY_UPDATE: bool = false;

    fn id(model: &Model) -> Uuid {
        model.id
    }

    fn revision(model: &Model) -> i64 {
        model.number
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.created_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
