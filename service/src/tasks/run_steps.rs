//! The journal of a run: its model turns and tool calls, with what they cost.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::run_step::{Column, Entity, Model, StepKind, StepStatus};
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::task_runs::{self, TokensView};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

const PAGE: u64 = 200;

/// One model turn or one tool call.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStepView {
    /// Counts from 1 in each run, over all attempts.
    pub number: i32,
    pub kind: StepKind,
    pub status: StepStatus,
    pub attempt: i32,
    /// The model turn it belongs to, from 1.
    pub turn: i32,
    /// The model or the tool.
    pub name: String,
    #[schema(required)]
    pub tool_id: Option<Uuid>,
    /// The model's id of the call.
    #[schema(required)]
    pub call_id: Option<String>,
    /// What makes a repetition of the effect recognisable: `run:step:call`.
    #[schema(required)]
    pub effect_key: Option<String>,
    pub request: Value,
    #[schema(required)]
    pub response: Option<Value>,
    #[schema(required)]
    pub stop_reason: Option<String>,
    pub tokens_used: TokensView,
    pub cost: Nanos,
    pub unpriced: bool,
    pub latency_ms: i64,
    pub created_at: DateTime<Utc>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
}

crate::crud::page!(RunStepPage, RunStepView);

/// Which steps of a run.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct StepFilter {
    /// How many steps a page holds.
    #[param(minimum = 1, maximum = 200, default = 200)]
    pub limit: Option<u64>,
    /// `nextCursor` of the page before.
    #[param(max_length = 20)]
    pub cursor: Option<String>,
}

impl From<Model> for RunStepView {
    fn from(step: Model) -> Self {
        let Model {
            tenant_id: _,
            run_id: _,
            number,
            kind,
            status,
            attempt,
            turn,
            name,
            tool_id,
            call_id,
            effect_key,
            request,
            response,
            stop_reason,
            tokens_input,
            tokens_cache_read,
            tokens_cache_write,
            tokens_output,
            tokens_reasoning,
            cost_nanos,
            unpriced,
            latency_ms,
            created_at,
            completed_at,
        } = step;
        Self {
            number,
            kind,
            status,
            attempt,
            turn,
            name,
            tool_id,
            call_id,
            effect_key,
            request,
            response,
            stop_reason,
            tokens_used: TokensView::new(
                tokens_input,
                tokens_cache_read,
                tokens_cache_write,
                tokens_output,
                tokens_reasoning,
            ),
            cost: cost_nanos,
            unpriced,
            latency_ms,
            created_at,
            completed_at,
        }
    }
}

/// The steps of a run in their order.
pub async fn list(ctx: &Ctx, run: Uuid, filter: &StepFilter) -> Result<RunStepPage> {
    task_runs::load(ctx, run).await?;
    let limit = filter.limit.unwrap_or(PAGE);
    let wrong = || Error::invalid("cursor", "invalid_cursor", "The cursor is not one of this list.");
    let after: i32 = filter.cursor.as_deref().map_or(Ok(0), str::parse).map_err(|_| wrong())?;
    let db = ctx.db();
    let steps = db.find::<Entity>().filter(Column::RunId.eq(run)).filter(Column::Number.gt(after));
    let rows = steps.order_by(Column::Number, Order::Asc).limit(limit + 1).all().await?;
    let mut data: Vec<RunStepView> = rows.into_iter().map(RunStepView::from).collect();
    let has_more = u64::try_from(data.len()).unwrap_or(u64::MAX) > limit;
    data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = data.last().filter(|_| has_more).map(|last| last.number.to_string());
    Ok(RunStepPage { data, next_cursor, has_more, total: None })
}
