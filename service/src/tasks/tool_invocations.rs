//! Trying a tool: a run of that one tool, waited for. One path, so it is durable, fenced and billed
//! like any other.

use std::time::Duration;

use entity::agents::tool;
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::ColumnTrait as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::targets::{self, Wanted};
use super::task_runs::{self, RunErrorView, TaskRunView};
use crate::ctx::Ctx;
use crate::engine::policy::{RetryPolicy, RunPolicy};
use crate::error::{Error, Result};

/// The longest that an invocation is waited for.
pub const LONGEST: Duration = Duration::from_secs(60);

/// A call of a tool.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "arguments": {} }))]
pub struct InvokeTool {
    /// Checked against the tool's schema.
    pub arguments: Map<String, Value>,
}

/// How a call of a tool went.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolInvocationView {
    /// The run that made the call; its steps and events tell more.
    pub run_id: Uuid,
    pub status: RunStatus,
    pub reason: RunReason,
    #[schema(required)]
    pub output: Option<Value>,
    #[schema(required)]
    pub error: Option<RunErrorView>,
    #[schema(required)]
    pub duration_ms: Option<i64>,
}

impl From<TaskRunView> for ToolInvocationView {
    fn from(run: TaskRunView) -> Self {
        let TaskRunView { id, status, reason, output, error, duration_ms, .. } = run;
        Self { run_id: id, status, reason, output, error, duration_ms }
    }
}

/// Calls the tool once, without retries.
///
/// # Errors
/// 404 when there is no such tool, 422 when the arguments do not fit its schema.
pub async fn invoke(ctx: &Ctx, id: Uuid, body: InvokeTool) -> Result<ToolInvocationView> {
    if let Some(done) = task_runs::replayed(ctx).await? {
        return Ok(task_runs::wait(ctx, done, LONGEST).await?.into());
    }
    let live = tool::Column::DeletedAt.is_null();
    let found = ctx.db().find::<tool::Entity>().filter(tool::Column::Id.eq(id)).filter(live).one().await?;
    let tool = found.ok_or(Error::not_found("tool"))?;
    let arguments = Value::Object(body.arguments);
    let schema = ctx.core.schemas.get(&tool.schema).await?;
    schema.check(&arguments, "/arguments").map_err(|errors| Error::Invalid { errors })?;
    let target = targets::resolve(ctx, Wanted::Tool(id)).await?;
    let mut run = task_runs::new_run(ctx, &target, arguments)?;
    let once = RunPolicy {
        retry: RetryPolicy { max_attempts: 1, ..RetryPolicy::default() },
        timeouts: target.policy.timeouts,
        ..RunPolicy::default()
    };
    run.policy = serde_json::to_value(&once).map_err(Error::internal)?;
    let timeout = Duration::from_secs(u64::try_from(tool.timeout_seconds).unwrap_or(30));
    let submitted = task_runs::submit(ctx, run).await?;
    Ok(task_runs::wait(ctx, submitted, (timeout + Duration::from_secs(5)).min(LONGEST)).await?.into())
}
