//! What an inbound hook was sent, and what became of it. Written once.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryVerdict {
    /// It started a run, or let runs go on.
    Accepted,
    /// The trigger's filter does not take it.
    Ignored,
    /// One with the sender's id had been accepted.
    Duplicate,
    /// A handshake of the sender, answered.
    Challenge,
    /// The signature is missing or wrong, or its time is over.
    Unsigned,
    /// The body cannot be read.
    Malformed,
    /// The hook, its definition or the tenant takes nothing, or the input does not fit.
    Refused,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "hook_delivery")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub hook_id: Uuid,
    /// The sender's own id.
    pub delivery_id: Option<String>,
    #[sea_orm(column_name = "type")]
    pub kind: Option<String>,
    pub verdict: DeliveryVerdict,
    pub code: Option<String>,
    pub message: Option<String>,
    /// Without what proves who somebody is.
    #[sea_orm(column_type = "JsonBinary")]
    pub headers: Json,
    pub content_type: Option<String>,
    /// How long the body was, whatever is kept of it.
    pub body_bytes: i64,
    pub run_id: Option<Uuid>,
    /// How many waits it satisfied.
    pub resumed: i32,
    pub replay_of: Option<Uuid>,
    pub created_by: String,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("hook delivery", Id, within);

impl crate::scope::Record for Entity {
    const REVISION: Column = Column::BodyBytes;
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
        model.body_bytes
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.created_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
