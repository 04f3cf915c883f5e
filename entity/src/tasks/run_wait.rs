//! Something beside an approval that a run waits for: an answer, an event, a time.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WaitKind {
    UserInput,
    ExternalEvent,
    Timer,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WaitStatus {
    Open,
    Satisfied,
    Expired,
    Cancelled,
}

/// What it means that nothing came in time.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WaitExpiry {
    /// The call that waited has failed, and the run goes on with that.
    #[default]
    Continue,
    /// The run fails.
    Fail,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "run_wait")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// That of its run.
    pub workspace_id: Option<Uuid>,
    pub run_id: Uuid,
    pub step_number: i32,
    pub kind: WaitKind,
    pub status: WaitStatus,
    /// What an event or a hook names to satisfy it.
    pub key: Option<String>,
    /// The question and what its answer has to fit.
    #[sea_orm(column_type = "JsonBinary")]
    pub request: Json,
    /// What the call that waited gives.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub answer: Option<Json>,
    pub on_expire: WaitExpiry,
    /// For a timer, its time.
    pub expires_at: DateTimeUtc,
    pub answered_by: Option<String>,
    pub answered_at: Option<DateTimeUtc>,
    /// The event that satisfied it.
    pub event_id: Option<Uuid>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("wait", Id, within, run: RunId);

impl crate::scope::Record for Entity {
    const REVISION: Column = Column::StepNumber;
    const CREATED_AT: Column = Column::CreatedAt;
    const UPDATED_AT: Column = Column::UpdatedAt;
    const DELETED_AT: Option<Column> = None;
    const METADATA: Option<Column> = None;
    const NAME: Option<Column> = None;

    fn id(model: &Model) -> Uuid {
        model.id
    }

    fn revision(model: &Model) -> i64 {
        i64::from(model.step_number)
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.updated_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
