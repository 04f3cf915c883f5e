//! A definition over many targets.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Nanos;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BatchStatus {
    /// Targets may be added.
    Draft,
    /// Inputs are checked before the first run.
    Validating,
    Running,
    Paused,
    Completed,
    /// Completed, and not every target did.
    CompletedWithErrors,
    Cancelled,
}

/// Why a batch is paused.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BatchReason {
    ByUser,
    /// More targets failed than `maxFailures`.
    Failures,
    /// Its runs have cost `maxCost`.
    Budget,
    /// The tenant's plan allows no more runs this month.
    QuotaExceeded,
    /// The definition is inactive, or it, its agent or its tool is gone.
    DefinitionUnavailable,
    WorkspaceArchived,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "batch_task")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Its definition's; it moves with it.
    pub workspace_id: Option<Uuid>,
    pub definition_id: Uuid,
    pub name: String,
    pub status: BatchStatus,
    pub status_reason: Option<BatchReason>,
    pub status_note: Option<String>,
    pub rate_per_minute: Option<i32>,
    pub max_in_flight: i32,
    pub max_failures: Option<i32>,
    pub max_cost_nanos: Option<Nanos>,
    /// What the runs cost that have ended: the sum over the targets, kept for the budget.
    pub spent_nanos: Nanos,
    /// Of the newest target.
    pub last_number: i32,
    /// Up to which target inputs were checked.
    pub checked_number: i32,
    /// While failed targets are queued again: up to which that is done.
    pub retried_number: Option<i32>,
    /// Up to when the rate is used up.
    pub paced_at: Option<DateTimeUtc>,
    /// When there is something to do again.
    pub next_at: Option<DateTimeUtc>,
    pub created_by: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub revision: i64,
    pub started_at: Option<DateTimeUtc>,
    pub completed_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub deleted_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("batch task", place: { within }, deleted: Some(Column::DeletedAt), metadata: Some(Column::Metadata), name: name);
