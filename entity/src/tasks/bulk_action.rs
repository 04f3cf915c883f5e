//! An action on all runs that a filter matches.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BulkKind {
    Cancel,
    Retry,
    Replay,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BulkStatus {
    /// Counted, and not started.
    Draft,
    Running,
    Completed,
    Aborted,
    /// Its creator may not do it any more.
    Failed,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_action")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: BulkKind,
    #[sea_orm(column_type = "JsonBinary")]
    pub filter: Json,
    pub status: BulkStatus,
    pub status_reason: Option<String>,
    /// Runs that matched when it was created, counted up to a cap.
    pub matched: i64,
    pub succeeded: i64,
    pub skipped: i64,
    pub failed: i64,
    /// The last run that was acted on; runs are taken in the order of their ids.
    pub position: Uuid,
    /// No run with a later id is acted on: none that was created afterwards.
    pub last_id: Uuid,
    /// The node that works on it, until when.
    pub worked_by: Option<Uuid>,
    pub worked_until: Option<DateTimeUtc>,
    /// With whose rights it acts.
    pub user_id: Uuid,
    pub api_key_id: Option<Uuid>,
    pub created_by: String,
    pub revision: i64,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub started_at: Option<DateTimeUtc>,
    pub completed_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

crate::scope::record!("bulk action", deleted: None, metadata: None, name:);
