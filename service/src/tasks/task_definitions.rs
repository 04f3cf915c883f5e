//! Task definitions. Invariant: one runs an agent, a tool or a graph of steps, and its schemas and templates
//! have been compiled.

mod pauses;

use chrono::{DateTime, Utc};
use entity::tasks::task_definition::{ActiveModel, Column, Entity, Model, TaskType};
use sea_orm::{ColumnTrait as _, Condition, Set};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::triggers::Trigger;
use super::{DefinitionConfig, graph, scheduled_tasks};
use crate::agents::agents::Agents;
use crate::agents::tools::Tools;
use crate::crud::{
    self, Expected, Metadata, MetadataPatch, Page, Paging, Patch, Resource, document, metadata, patch,
};
use crate::ctx::Ctx;
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::identity::tenant_limits::Quota;
use crate::identity::workspaces::{self, check_use};

pub use pauses::{PauseTaskDefinition, pause, resume};

pub struct TaskDefinitions;

impl Resource for TaskDefinitions {
    type Entity = Entity;
    type View = TaskDefinitionView;

    const QUOTA: Option<Quota> = Some(Quota::TaskDefinitions);

    fn taken() -> Error {
        Error::conflict("name_taken", "A task definition of this name exists.")
    }

    async fn follow(ctx: &Ctx, tx: &TenantTx, old: Option<&Model>, new: Option<&Model>) -> Result<()> {
        scheduled_tasks::follow(ctx, tx, old, new).await
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTaskDefinition {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    #[validate(length(max = 4_000))]
    #[schema(max_length = 4_000)]
    pub description: Option<String>,
    /// It cannot be changed by a PATCH: `POST /v1/workspaces/{id}/transfer` moves. The agent or tool belongs to
    /// the same or to none.
    #[serde(default)]
    pub workspace_id: Option<Uuid>,
    #[serde(rename = "type")]
    pub kind: TaskType,
    /// One of this, `toolId` and `config.steps`. CHAT needs an agent.
    pub agent_id: Option<Uuid>,
    pub tool_id: Option<Uuid>,
    #[serde(default)]
    #[validate(nested)]
    pub trigger: Trigger,
    #[serde(default)]
    #[validate(nested)]
    pub config: DefinitionConfig,
    #[serde(default = "active")]
    #[schema(default = true)]
    pub is_active: bool,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

fn active() -> bool {
    true
}

/// A merge patch: absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTaskDefinition {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    #[serde(default)]
    #[validate(length(max = 4_000))]
    #[schema(value_type = Option<String>, max_length = 4_000)]
    pub description: Patch<String>,
    #[serde(default, rename = "type", deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub kind: Option<TaskType>,
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    pub agent_id: Patch<Uuid>,
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    pub tool_id: Patch<Uuid>,
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(nested)]
    #[schema(nullable = false)]
    pub trigger: Option<Trigger>,
    /// Merged.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(value_type = Option<DefinitionConfig>, nullable = false)]
    pub config: Option<Value>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub is_active: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefinitionView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub name: String,
    #[schema(required)]
    pub description: Option<String>,
    #[serde(rename = "type")]
    pub kind: TaskType,
    #[schema(required)]
    pub agent_id: Option<Uuid>,
    #[schema(required)]
    pub tool_id: Option<Uuid>,
    pub trigger: Trigger,
    pub config: DefinitionConfig,
    pub is_active: bool,
    /// Since when it starts nothing; null for one that is not paused.
    #[schema(required)]
    pub paused_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub paused_reason: Option<String>,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(TaskDefinitionPage, TaskDefinitionView);

impl From<Model> for TaskDefinitionView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            name,
            description,
            kind,
            agent_id,
            tool_id,
            trigger_config,
            config,
            is_active,
            paused_at,
            paused_reason,
            releasing_at: _,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
        } = row;
        Self {
            id,
            workspace_id,
            name,
            description,
            kind,
            agent_id,
            tool_id,
            trigger: document::read(trigger_config),
            config: document::read(config),
            is_active,
            paused_at,
            paused_reason,
            metadata: metadata::shown(metadata),
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TaskDefinitionFilter {
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<TaskType>,
    pub agent_id: Option<Uuid>,
    pub tool_id: Option<Uuid>,
    pub is_active: Option<bool>,
    pub is_paused: Option<bool>,
    pub workspace_id: Option<Uuid>,
}

pub async fn list(
    ctx: &Ctx,
    paging: &Paging,
    filter: &TaskDefinitionFilter,
) -> Result<Page<TaskDefinitionView>> {
    let TaskDefinitionFilter { kind, agent_id, tool_id, is_active, is_paused, workspace_id } = filter;
    let condition = Condition::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(agent_id.map(|id| Column::AgentId.eq(id)))
        .add_option(tool_id.map(|id| Column::ToolId.eq(id)))
        .add_option(is_active.map(|active| Column::IsActive.eq(active)))
        .add_option(is_paused.map(|paused| match paused {
            true => Column::PausedAt.is_not_null(),
            false => Column::PausedAt.is_null(),
        }))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)));
    crud::list::<TaskDefinitions>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TaskDefinitionView> {
    crud::get::<TaskDefinitions>(ctx, id).await
}

pub async fn create(ctx: &Ctx, body: CreateTaskDefinition) -> Result<TaskDefinitionView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateTaskDefinition {
        name,
        description,
        workspace_id,
        kind,
        agent_id,
        tool_id,
        trigger,
        config,
        is_active,
        metadata,
    } = body;
    check(kind, agent_id, tool_id, &config)?;
    trigger.check(kind)?;
    let workspace_id = workspaces::admit(ctx, workspace_id).await?;
    check_targets(ctx, workspace_id, agent_id, tool_id).await?;
    check_steps(ctx, (None, &name), workspace_id, &config).await?;
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id,
        name,
        description,
        kind,
        agent_id,
        tool_id,
        trigger_config: document::stored(&trigger)?,
        config: document::stored(&config)?,
        is_active,
        paused_at: None,
        paused_reason: None,
        releasing_at: None,
        metadata: metadata::stored(metadata),
        revision: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    crud::create::<TaskDefinitions>(ctx, row).await
}

pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    body: UpdateTaskDefinition,
) -> Result<TaskDefinitionView> {
    let row = crud::load::<TaskDefinitions>(ctx, id).await?;
    let workspace = row.workspace_id;
    check_targets(ctx, workspace, body.agent_id.as_set().copied(), body.tool_id.as_set().copied()).await?;
    if let Some(patch) = &body.config {
        let config: DefinitionConfig = document::patched(&document::read(row.config), patch, "/config")?;
        let name = body.name.as_ref().unwrap_or(&row.name);
        check_steps(ctx, (Some(id), name), workspace, &config).await?;
    }
    crud::update::<TaskDefinitions>(ctx, id, expected, |row| changes(row, &body)).await
}

fn changes(row: &Model, body: &UpdateTaskDefinition) -> Result<ActiveModel> {
    let UpdateTaskDefinition {
        name,
        description,
        kind,
        agent_id,
        tool_id,
        trigger,
        config,
        is_active,
        metadata,
    } = body;
    let mut changes = ActiveModel::default();
    if let Some(name) = name.as_ref().filter(|name| **name != row.name) {
        changes.name = Set(name.clone());
    }
    let described = description.clone().over(row.description.clone());
    if described != row.description {
        changes.description = Set(described);
    }
    let kind = kind.unwrap_or(row.kind);
    if kind != row.kind {
        changes.kind = Set(kind);
    }
    let agent_id = agent_id.clone().over(row.agent_id);
    if agent_id != row.agent_id {
        changes.agent_id = Set(agent_id);
    }
    let tool_id = tool_id.clone().over(row.tool_id);
    if tool_id != row.tool_id {
        changes.tool_id = Set(tool_id);
    }
    let current: Trigger = document::read(row.trigger_config.clone());
    let trigger = trigger.as_ref().unwrap_or(&current);
    trigger.check(kind)?;
    if *trigger != current {
        changes.trigger_config = Set(document::stored(trigger)?);
    }
    let current: DefinitionConfig = document::read(row.config.clone());
    let patched = match config {
        Some(patch) => document::patched(&current, patch, "/config")?,
        None => current.clone(),
    };
    check(kind, agent_id, tool_id, &patched)?;
    if patched != current {
        changes.config = Set(document::stored(&patched)?);
    }
    if let Some(active) = is_active.filter(|active| *active != row.is_active) {
        changes.is_active = Set(active);
    }
    let metadata = metadata::patched(&row.metadata, metadata)?;
    if metadata != row.metadata {
        changes.metadata = Set(metadata);
    }
    Ok(changes)
}

pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::delete::<TaskDefinitions>(ctx, id, expected).await
}

/// A SCHEDULED definition has a schedule, and no other has.
fn check(kind: TaskType, agent: Option<Uuid>, tool: Option<Uuid>, config: &DefinitionConfig) -> Result<()> {
    let is_graph = !config.steps.is_empty();
    let exclusive = |pointer, message| Err(Error::invalid(pointer, "exclusive", message));
    match (agent, tool) {
        (Some(_), _) | (None, None) if config.approval.is_some() => {
            let message =
                "Only a tool's call is approved; an agent's tools and a graph's steps say it themselves.";
            return exclusive("/config/approval", message);
        }
        (None, None) if is_graph && kind == TaskType::Chat => {
            return Err(Error::invalid("/agentId", "required", "A CHAT task needs an agent."));
        }
        (None, None) if is_graph && config.arguments.is_some() => {
            return exclusive("/config/arguments", "Only a tool has arguments; steps have an input each.");
        }
        (None, None) if is_graph => {}
        (None, None) => {
            let message = "agentId, toolId or config.steps is required";
            return Err(Error::invalid("/agentId", "required", message));
        }
        _ if is_graph => return exclusive("/config/steps", "steps exclude agentId and toolId"),
        _ if config.output.is_some() => return exclusive("/config/output", "Only a graph has an output"),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("/toolId", "exclusive", "agentId and toolId exclude each other"));
        }
        (None, Some(_)) if kind == TaskType::Chat => {
            return Err(Error::invalid("/agentId", "required", "A CHAT task needs an agent."));
        }
        (Some(_), None) if config.arguments.is_some() => {
            let message = "Only a tool has arguments; an agent is given the input.";
            return Err(Error::invalid("/config/arguments", "exclusive", message));
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
    config.check("/config")
}

/// Everything that a graph's steps name is there, and leads nowhere back.
async fn check_steps(
    ctx: &Ctx,
    own: (Option<Uuid>, &str),
    workspace: Option<Uuid>,
    config: &DefinitionConfig,
) -> Result<()> {
    if config.steps.is_empty() {
        return Ok(());
    }
    config.check("/config")?;
    graph::resolve::check_nesting(ctx, own, workspace, &config.steps, "/config/steps").await?;
    graph::resolve::targets(ctx, &ctx.db(), workspace, &config.steps, "/config/steps").await.map(drop)
}

async fn check_targets(
    ctx: &Ctx,
    workspace: Option<Uuid>,
    agent: Option<Uuid>,
    tool: Option<Uuid>,
) -> Result<()> {
    if let Some(id) = agent {
        let used = crud::load_named::<Agents>(ctx, id, "/agentId").await?;
        check_use(workspace, used.workspace_id, "/agentId")?;
    }
    if let Some(id) = tool {
        let used = crud::load_named::<Tools>(ctx, id, "/toolId").await?;
        check_use(workspace, used.workspace_id, "/toolId")?;
    }
    Ok(())
}
