//! What to run: one agent or one tool, with its schemas, limits and retry policy.

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, ToSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskType {
    Chat,
    Automation,
    /// It runs when its schedule is due.
    Scheduled,
    Webhook,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "task_definition")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub name: String,
    pub description: Option<String>,
    #[sea_orm(column_name = "type")]
    pub kind: TaskType,
    pub agent_id: Option<Uuid>,
    pub tool_id: Option<Uuid>,
    #[sea_orm(column_type = "JsonBinary")]
    pub trigger_config: Json,
    #[sea_orm(column_type = "JsonBinary")]
    pub config: Json,
    pub is_active: bool,
    /// Since then it starts nothing.
    pub paused_at: Option<DateTimeUtc>,
    pub paused_reason: Option<String>,
    /// It was resumed then, and may still hold queued runs.
    pub releasing_at: Option<DateTimeUtc>,
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

crate::scope::record!("task definition", place: { within, agent: AgentId }, deleted: Some(Column::DeletedAt), metadata: Some(Column::Metadata), name: name);
