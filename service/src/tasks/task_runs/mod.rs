//! Runs: the unit of work. What a run becomes is decided by the engine; here is what people may ask.

mod actions;
mod create;
mod events;
mod shown;
mod tree;
mod tree_events;
mod view;

use sea_orm::{ColumnTrait as _, Condition};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

pub use entity::tasks::task_run::RunStatus;
use entity::tasks::task_run::{Column, Entity, Model, RunReason};

pub(crate) use actions::cancel_running;
pub use actions::{ReplayTaskRun, cancel, replay, retry};
pub(crate) use actions::{change, launch_replay, require_still_there, why_not_retried};
pub use create::{CreateTaskRun, Submitted, create, submit, wait};
pub(crate) use create::{check_input, new_run, replayed};
pub(crate) use events::parse_types;
pub use events::{EventFilter, EventPage, RunEventView, follow, list_events};
pub use tree::{TaskRunNode, TaskRunTree, tree};
pub use tree_events::follow_tree;
pub use view::{RunErrorView, TaskRunPage, TaskRunView, TokensView};

use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::engine::transitions::MOST_LOST;
use crate::error::{Error, Result};
use crate::tasks::run_keys;
use crate::tasks::run_waits;

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
    /// The runs of a tree, its root among them.
    pub root_run_id: Option<Uuid>,
    /// Those that failed because too many executors vanished under them, or the others.
    pub quarantined: Option<bool>,
    /// The definition's key that its input made; with `definitionId`.
    #[param(max_length = 200)]
    pub concurrency_key: Option<String>,
}

impl TaskRunFilter {
    pub(crate) fn condition(self) -> Result<Condition> {
        let Self {
            status,
            reason,
            agent_id,
            definition_id,
            tool_id,
            workspace_id,
            parent_run_id,
            root_run_id,
            quarantined,
            concurrency_key,
        } = self;
        let key = match (definition_id, concurrency_key) {
            (Some(id), Some(key)) => Some(run_keys::stored(id, &key)),
            (None, Some(_)) => {
                let message = "concurrencyKey needs definitionId, whose key it is.";
                return Err(Error::invalid("concurrencyKey", "required", message));
            }
            (_, None) => None,
        };
        let in_quarantine = || {
            Condition::all()
                .add(Column::Status.eq(RunStatus::Failed))
                .add(Column::Reason.eq(RunReason::WorkerLost))
                .add(Column::LostCount.gte(MOST_LOST))
        };
        Ok(Condition::all()
            .add_option(status.map(|status| Column::Status.eq(status)))
            .add_option(reason.map(|reason| Column::Reason.eq(reason)))
            .add_option(agent_id.map(|id| Column::AgentId.eq(id)))
            .add_option(definition_id.map(|id| Column::DefinitionId.eq(id)))
            .add_option(tool_id.map(|id| Column::ToolId.eq(id)))
            .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)))
            .add_option(parent_run_id.map(|id| Column::ParentRunId.eq(id)))
            .add_option(
                root_run_id.map(|id| Condition::any().add(Column::RootRunId.eq(id)).add(Column::Id.eq(id))),
            )
            .add_option(key.map(|key| Column::ConcurrencyKey.eq(key)))
            .add_option(quarantined.map(|is| if is { in_quarantine() } else { in_quarantine().not() })))
    }
}

/// One page of the tenant's runs.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: TaskRunFilter) -> Result<Page<TaskRunView>> {
    let mut page = crud::rows::<Entity>(ctx, paging, filter.condition()?).await?.map(TaskRunView::from);
    run_waits::fill(ctx, &mut page.data).await?;
    shown::reasons(ctx, &mut page.data).await?;
    Ok(page)
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TaskRunView> {
    let mut run = TaskRunView::from(load(ctx, id).await?);
    run_waits::fill(ctx, std::slice::from_mut(&mut run)).await?;
    shown::reasons(ctx, std::slice::from_mut(&mut run)).await?;
    Ok(run)
}

pub(crate) async fn load(ctx: &Ctx, id: Uuid) -> Result<Model> {
    ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("task run"))
}
