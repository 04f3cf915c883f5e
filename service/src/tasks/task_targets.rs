//! The targets of a batch: uploaded as JSON, JSON lines or CSV, listed, and exported with their results.
//!
//! Invariant: within a batch a key is one target's. Sending the same target again changes nothing.

mod results;
mod upload;

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::task_target::{Column, Entity, Model, TargetStatus};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::batch_tasks::BatchTasks;
use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::error::Result;

pub use results::{ResultFilter, ResultFormat, ResultRow, results};
pub use upload::{Added, RowError, Upload, add};

/// Targets in a JSON body.
pub const MOST_IN_JSON: u64 = 10_000;

/// Targets to be added to a draft.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "targets": [{ "targetKey": "customer-4711", "input": { "name": "Ada" } }] }))]
pub struct AddTargets {
    #[validate(length(min = 1, max = "MOST_IN_JSON"))]
    #[schema(min_items = 1, max_items = 10_000)]
    pub targets: Vec<NewTarget>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTarget {
    /// What it is called in the batch, once.
    #[schema(min_length = 1, max_length = 200)]
    pub target_key: String,
    /// The input of its run.
    #[serde(default)]
    pub input: Value,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskTargetView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub batch_task_id: Uuid,
    /// Counts from 1 in the batch, in the order of upload.
    pub number: i32,
    pub target_key: String,
    pub input: Value,
    pub status: TargetStatus,
    /// Its run; the newest where it was sent again.
    #[schema(required)]
    pub run_id: Option<Uuid>,
    /// How often it was sent.
    pub tries: i32,
    /// Why it failed: `code` and `message`.
    #[schema(required)]
    pub error: Option<Value>,
    /// What its run cost (USD), once it ended, and those before it.
    pub cost: Nanos,
    #[schema(required)]
    pub sent_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub failed_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(TaskTargetPage, TaskTargetView);

impl From<Model> for TaskTargetView {
    fn from(target: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            batch_id,
            number,
            target_key,
            input,
            status,
            run_id,
            tries,
            error,
            cost_nanos,
            former_cost_nanos: _,
            sent_at,
            completed_at,
            failed_at,
            created_at,
            updated_at,
        } = target;
        Self {
            id,
            workspace_id,
            batch_task_id: batch_id,
            number,
            target_key,
            input,
            status,
            run_id,
            tries,
            error,
            cost: cost_nanos,
            sent_at,
            completed_at,
            failed_at,
            created_at,
            updated_at,
        }
    }
}

/// What a list of targets may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TaskTargetFilter {
    pub status: Option<TargetStatus>,
    #[param(max_length = 200)]
    pub target_key: Option<String>,
}

pub async fn list(
    ctx: &Ctx,
    batch: Uuid,
    paging: &Paging,
    filter: TaskTargetFilter,
) -> Result<Page<TaskTargetView>> {
    crud::load::<BatchTasks>(ctx, batch).await?;
    let TaskTargetFilter { status, target_key } = filter;
    let all = Condition::all()
        .add(Column::BatchId.eq(batch))
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(target_key.map(|key| Column::TargetKey.eq(key)));
    Ok(crud::rows::<Entity>(ctx, paging, all).await?.map(TaskTargetView::from))
}
