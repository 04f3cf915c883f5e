//! When to run a definition.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScheduleType {
    OneTime,
    Recurring,
    TriggerBased,
}

/// What is done with a time that comes while a run of the schedule has not ended.
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
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// One waits for the end; further ones are coalesced into it.
    QueueOne,
    /// Each waits for its turn.
    QueueAll,
    /// What runs is cancelled, and this one runs then.
    CancelRunning,
    /// They run side by side.
    Allow,
}

/// What is done with times that nobody was there for.
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
pub enum Catchup {
    /// They are skipped.
    None,
    /// The newest is run, and stands for the others.
    #[default]
    Last,
    /// Each is run.
    All,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScheduleStatus {
    Active,
    Paused,
    /// No time is left.
    Completed,
}

/// Why a schedule is paused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PauseReason {
    ByUser,
    /// More runs failed in a row than `maxRetries`.
    Failures,
    /// Its workspace was archived; it goes on when that is taken back.
    WorkspaceArchived,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "scheduled_task")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its definition's; it moves with it.
    pub workspace_id: Option<Uuid>,
    pub definition_id: Uuid,
    pub name: String,
    /// It is the trigger of a SCHEDULED definition, and is changed there.
    pub is_owned: bool,
    pub schedule_type: ScheduleType,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub recurrence: Option<Json>,
    pub run_at: Option<DateTimeUtc>,
    pub delay_seconds: Option<i32>,
    #[sea_orm(column_type = "JsonBinary")]
    pub input: Json,
    pub overlap: Overlap,
    pub catchup: Catchup,
    pub catchup_window_seconds: i32,
    pub jitter_seconds: i32,
    pub starts_at: Option<DateTimeUtc>,
    pub ends_at: Option<DateTimeUtc>,
    pub status: ScheduleStatus,
    pub status_reason: Option<PauseReason>,
    pub status_note: Option<String>,
    pub retry_count: i32,
    pub max_retries: Option<i32>,
    pub next_due_at: Option<DateTimeUtc>,
    pub next_fire_at: Option<DateTimeUtc>,
    pub last_due_at: Option<DateTimeUtc>,
    pub created_by: String,
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

crate::scope::record!("scheduled task", place: { within }, deleted: Some(Column::DeletedAt), metadata: Some(Column::Metadata), name: name);
