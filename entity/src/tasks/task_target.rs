//! One target of a batch: one run.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Nanos;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetStatus {
    /// Its run is not created yet.
    Pending,
    /// Its run was created and has not ended.
    Running,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "task_target")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub batch_id: Uuid,
    /// Counts from 1 in the batch, in the order of upload.
    pub number: i32,
    pub target_key: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub input: Json,
    pub status: TargetStatus,
    pub run_id: Option<Uuid>,
    /// How often it was sent.
    pub tries: i32,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub error: Option<Json>,
    pub cost_nanos: Nanos,
    /// The part of it of runs before this one.
    pub former_cost_nanos: Nanos,
    pub sent_at: Option<DateTimeUtc>,
    pub completed_at: Option<DateTimeUtc>,
    pub failed_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("task target", Id, within);

impl crate::scope::Record for Entity {
    /// Targets are not changed by people.
    const REVISION: Column = Column::Tries;
    const CREATED_AT: Column = Column::CreatedAt;
    const UPDATED_AT: Column = Column::UpdatedAt;
    const DELETED_AT: Option<Column> = None;
    const METADATA: Option<Column> = None;
    const NAME: Option<Column> = None;
    const SORTS_BY_UPDATE: bool = false;

    fn id(model: &Model) -> Uuid {
        model.id
    }

    fn revision(model: &Model) -> i64 {
        i64::from(model.tries)
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.updated_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
