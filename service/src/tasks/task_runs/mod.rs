//! Runs: the unit of work. What a run becomes is decided by the engine; here is what people may ask.

mod actions;
mod create;
mod events;
mod view;

use sea_orm::{ColumnTrait as _, Condition};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

pub use entity::tasks::task_run::RunStatus;
use entity::tasks::task_run::{Column, Entity, Model, RunReason};

pub use actions::{ReplayTaskRun, cancel, replay, retry};
pub use create::{CreateTaskRun, Submitted, create, submit, wait};
pub(crate) use create::{check_input, new_run, replayed};
pub use events::{EventFilter, EventPage, RunEventView, follow, list_events};
pub use view::{RunErrorView, TaskRunPage, TaskRunView, TokensView};

use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::tasks::workers;

/// What a list of runs may be narrowed to.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TaskRunFilter {
    pub status: Option<RunStatus>,
    pub reason: Option<RunReason>,
    pub agent_id: Option<Uuid>,
    pub definition_id: Option<Uuid>,
    pub tool_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
    pub parent_run_id: Option<Uuid>,
}

/// One page of the tenant's runs.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: TaskRunFilter) -> Result<Page<TaskRunView>> {
    let TaskRunFilter { status, reason, agent_id, definition_id, tool_id, workspace_id, parent_run_id } =
        filter;
    let all = Condition::all()
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(reason.map(|reason| Column::Reason.eq(reason)))
        .add_option(agent_id.map(|id| Column::AgentId.eq(id)))
        .add_option(definition_id.map(|id| Column::DefinitionId.eq(id)))
        .add_option(tool_id.map(|id| Column::ToolId.eq(id)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)))
        .add_option(parent_run_id.map(|id| Column::ParentRunId.eq(id)));
    let mut page = crud::rows::<Entity>(ctx, paging, all).await?.map(TaskRunView::from);
    workers::shown_reasons(ctx, &mut page.data).await?;
    Ok(page)
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TaskRunView> {
    let mut run = load(ctx, id).await?.into();
    workers::shown_reasons(ctx, std::slice::from_mut(&mut run)).await?;
    Ok(run)
}

pub(crate) async fn load(ctx: &Ctx, id: Uuid) -> Result<Model> {
    ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("task run"))
}
