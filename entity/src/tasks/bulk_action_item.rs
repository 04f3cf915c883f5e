//! What a bulk action did to one run.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ItemOutcome {
    Succeeded,
    /// The run had changed meanwhile, so that there was nothing to do.
    Skipped,
    Failed,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_action_item")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub bulk_action_id: Uuid,
    /// That of the run.
    pub workspace_id: Option<Uuid>,
    pub run_id: Uuid,
    /// Of a replay.
    pub new_run_id: Option<Uuid>,
    pub outcome: ItemOutcome,
    pub code: Option<String>,
    pub message: Option<String>,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("bulk action item", Id, within, run: RunId);

impl crate::scope::Record for Entity {
    const REVISION: Column = Column::CreatedAt;
    const CREATED_AT: Column = Column::CreatedAt;
    const UPDATED_AT: Column = Column::CreatedAt;
    const DELETED_AT: Option<Column> = None;
    const METADATA: Option<Column> = None;
    const NAME: Option<Column> = None;
    const SORTS_BY_UPDATE: bool = false;

    fn id(model: &Model) -> Uuid {
        model.id
    }

    fn revision(_: &Model) -> i64 {
        1
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.created_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
