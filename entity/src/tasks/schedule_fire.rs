//! One time that a schedule was due, and what came of it: exactly one row each.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::task_run::RunStatus;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FireKind {
    /// On time.
    Due,
    /// Its time passed while nobody was there for it.
    Catchup,
    /// Somebody, or something, asked for it.
    Trigger,
    /// A time of the past that somebody asked to make up for.
    Backfill,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FireStatus {
    /// It waits for its time or its turn.
    Pending,
    /// Its run was created.
    Started,
    Skipped,
    /// Another fire stands for it.
    Coalesced,
}

/// Why a fire started no run, or waits.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FireReason {
    /// A run of the schedule had not ended.
    Overlap,
    /// Nobody was there at its time, and `catchup` says to leave it.
    Missed,
    /// It was missed for longer than the window of `catchup`.
    OutsideWindow,
    /// As many fires wait as may.
    TooManyWaiting,
    TenantSuspended,
    WorkspaceArchived,
    DefinitionInactive,
    /// The definition, its agent or its tool is gone.
    TargetGone,
    /// The input does not fit the definition, or its template gave nothing.
    InputInvalid,
    /// The definition's concurrency key, or a dedupe key, refused it.
    KeyTaken,
    QuotaExceeded,
    QueueFull,
    /// The schedule was deleted while it waited.
    ScheduleDeleted,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule_fire")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub schedule_id: Uuid,
    pub due_at: DateTimeUtc,
    /// Where one row stands for many missed times: the last of them.
    pub last_due_at: DateTimeUtc,
    pub instants: i32,
    /// Not before this: with the jitter.
    pub fire_at: DateTimeUtc,
    pub kind: FireKind,
    pub status: FireStatus,
    pub reason: Option<FireReason>,
    pub detail: Option<String>,
    /// In the place of the schedule's input.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub input: Option<Json>,
    pub run_id: Option<Uuid>,
    /// Once the run was seen to have ended.
    pub run_status: Option<RunStatus>,
    pub created_by: String,
    /// Nothing is left to be done about it.
    pub settled_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::tenant_owned!("schedule fire", Id, within);

impl crate::scope::Record for Entity {
    /// Fires are not changed by people.
    const REVISION: Column = Column::Instants;
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
        i64::from(model.instants)
    }

    fn updated_at(model: &Model) -> DateTimeUtc {
        model.updated_at
    }

    fn name(_: &Model) -> Option<&str> {
        None
    }
}
