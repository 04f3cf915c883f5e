//! Tools. Invariant: what is stored has been parsed and compiled, so that a call fails for what
//! happens in the world and not for how the tool was written.

use chrono::{DateTime, Utc};
use entity::agents::agent::AgentType;
use entity::agents::tool::{ActiveModel, Column, Entity, Model, SideEffect, ToolType};
use entity::agents::{agent, agent_tool};
use entity::money::Nanos;
use entity::tasks::task_definition;
use sea_orm::{ColumnTrait as _, Condition, Set};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::agents::{Agents, in_use};
use crate::crud::{
    self, Expected, Metadata, MetadataPatch, Page, Paging, Patch, Resource, document, metadata, patch,
};
use crate::ctx::Ctx;
use crate::engine::rates::{self, RateLimit};
use crate::error::{Error, Result};
use crate::identity::tenant_limits::Quota;
use crate::identity::workspaces;
use crate::integrations::integrations::check_secret;
use crate::runtime::tools::{ToolConfig, builtin, check_tool_name};
use crate::schema::Schema;

pub struct Tools;

impl Resource for Tools {
    type Entity = Entity;
    type View = ToolView;

    const QUOTA: Option<Quota> = Some(Quota::Tools);

    fn taken() -> Error {
        Error::conflict("name_taken", "A tool of this name exists.")
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTool {
    /// As models see it; unique in the tenant.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-zA-Z0-9_-]{1,64}$")]
    pub name: String,
    /// It cannot be changed by a PATCH: `POST /v1/workspaces/{id}/transfer` moves.
    #[serde(default)]
    pub workspace_id: Option<Uuid>,
    /// What it does and when to use it, for the model.
    #[validate(length(max = 4_000))]
    #[schema(max_length = 4_000)]
    #[serde(default)]
    pub description: String,
    #[serde(rename = "type")]
    pub kind: ToolType,
    /// API: `{method, url, query, headers, body, secrets, response}`, whose strings may hold
    /// `{{ argument }}`; a secret is `{header or query, integrationId, prefix}`.
    /// FUNCTION: `{function}`, such as `builtin/echo`. AGENT: `{agentId}`, an agent of type TOOL; a call is a
    /// child run of it, its input are the arguments.
    #[schema(value_type = Object)]
    pub config: Value,
    /// JSON Schema of the arguments, an object. A built-in has one of its own.
    #[schema(value_type = Option<Object>, nullable = false)]
    pub schema: Option<Value>,
    /// What repeating a call does: nothing (SAFE), nothing under the same key (KEYED), or harm
    /// (ONCE). SAFE for a GET, for built-ins and for agents when absent, else ONCE.
    #[schema(nullable = false)]
    pub side_effect: Option<SideEffect>,
    /// 30 when absent.
    #[validate(range(min = 1, max = 600))]
    #[schema(minimum = 1, maximum = 600, default = 30, nullable = false)]
    pub timeout_seconds: Option<i32>,
    /// In USD.
    #[serde(default)]
    pub cost_per_call: Nanos,
    /// Over all nodes, workers and agents. A call beyond it waits in the queue.
    #[serde(default)]
    #[schema(nullable = false)]
    pub rate_limit: Option<RateLimit>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

/// A merge patch: absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTool {
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-zA-Z0-9_-]{1,64}$", nullable = false)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 4_000))]
    #[schema(max_length = 4_000, nullable = false)]
    pub description: Option<String>,
    /// Merged.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub config: Option<Map<String, Value>>,
    /// Merged.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub schema: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub side_effect: Option<SideEffect>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(range(min = 1, max = 600))]
    #[schema(minimum = 1, maximum = 600, nullable = false)]
    pub timeout_seconds: Option<i32>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub cost_per_call: Option<Nanos>,
    /// Replaced as a whole. What was used up stays so.
    #[serde(default)]
    #[schema(value_type = Option<RateLimit>)]
    pub rate_limit: Patch<RateLimit>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolView {
    pub id: Uuid,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub name: String,
    pub description: String,
    #[serde(rename = "type")]
    pub kind: ToolType,
    #[schema(value_type = Object)]
    pub config: Value,
    #[schema(value_type = Object)]
    pub schema: Value,
    pub side_effect: SideEffect,
    pub timeout_seconds: i32,
    pub cost_per_call: Nanos,
    #[schema(required)]
    pub rate_limit: Option<RateLimit>,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(ToolPage, ToolView);

impl From<Model> for ToolView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            name,
            description,
            kind,
            config,
            schema,
            side_effect,
            timeout_seconds,
            cost_per_call_nanos,
            rate_limit,
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
            config,
            schema,
            side_effect,
            timeout_seconds,
            cost_per_call: cost_per_call_nanos,
            rate_limit: RateLimit::stored(rate_limit.as_ref()),
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
pub struct ToolFilter {
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<ToolType>,
    pub side_effect: Option<SideEffect>,
    pub workspace_id: Option<Uuid>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &ToolFilter) -> Result<Page<ToolView>> {
    let ToolFilter { kind, side_effect, workspace_id } = filter;
    let condition = Condition::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(side_effect.map(|effect| Column::SideEffect.eq(effect)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)));
    crud::list::<Tools>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<ToolView> {
    crud::get::<Tools>(ctx, id).await
}

pub async fn create(ctx: &Ctx, body: CreateTool) -> Result<ToolView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateTool {
        name,
        workspace_id,
        description,
        kind,
        config,
        schema,
        side_effect,
        timeout_seconds,
        cost_per_call,
        rate_limit,
        metadata,
    } = body;
    check_tool_name(&name)?;
    check_cost(cost_per_call)?;
    let rate_limit = rates::checked(rate_limit)?;
    let workspace_id = workspaces::admit(ctx, workspace_id).await?;
    let parsed = checked(ctx, kind, workspace_id, &config).await?;
    let schema = schema.unwrap_or_else(|| default_schema(&parsed));
    check_schema(&schema)?;
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id,
        name,
        description,
        kind,
        config,
        schema,
        side_effect: side_effect.unwrap_or_else(|| default_effect(&parsed)),
        timeout_seconds: timeout_seconds.unwrap_or(30),
        cost_per_call_nanos: cost_per_call,
        rate_limit,
        metadata: metadata::stored(metadata),
        revision: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    crud::create::<Tools>(ctx, row).await
}

pub async fn update(ctx: &Ctx, id: Uuid, expected: Expected, body: UpdateTool) -> Result<ToolView> {
    if let Some(name) = &body.name {
        check_tool_name(name)?;
    }
    if let Some(cost) = body.cost_per_call {
        check_cost(cost)?;
    }
    let row = crud::load::<Tools>(ctx, id).await?;
    let config = merged(&row.config, body.config.as_ref());
    if row.kind == ToolType::Agent && config != row.config {
        let message = "Another agent is another tool: agents that call this one were checked for circles.";
        return Err(Error::invalid("/config/agentId", "immutable", message));
    }
    checked(ctx, row.kind, row.workspace_id, &config).await?;
    crud::update::<Tools>(ctx, id, expected, |row| changes(row, &body)).await
}

fn changes(row: &Model, body: &UpdateTool) -> Result<ActiveModel> {
    let UpdateTool {
        name,
        description,
        config,
        schema,
        side_effect,
        timeout_seconds,
        cost_per_call,
        rate_limit,
        metadata,
    } = body;
    let mut changes = ActiveModel::default();
    if let Some(name) = name.as_ref().filter(|name| **name != row.name) {
        changes.name = Set(name.clone());
    }
    if let Some(description) = description.as_ref().filter(|text| **text != row.description) {
        changes.description = Set(description.clone());
    }
    let config = merged(&row.config, config.as_ref());
    let mut effect = side_effect.unwrap_or(row.side_effect);
    if config != row.config {
        // A tool that now changes something must not keep the SAFE that was derived from its GET.
        let before = default_effect(&ToolConfig::parse(row.kind, &row.config)?);
        let after = default_effect(&ToolConfig::parse(row.kind, &config)?);
        if side_effect.is_none() && row.side_effect == before {
            effect = after;
        }
        changes.config = Set(config);
    }
    if effect != row.side_effect {
        changes.side_effect = Set(effect);
    }
    let schema = merged(&row.schema, schema.as_ref());
    if schema != row.schema {
        check_schema(&schema)?;
        changes.schema = Set(schema);
    }
    if let Some(seconds) = timeout_seconds.filter(|seconds| *seconds != row.timeout_seconds) {
        changes.timeout_seconds = Set(seconds);
    }
    if let Some(cost) = cost_per_call.filter(|cost| *cost != row.cost_per_call_nanos) {
        changes.cost_per_call_nanos = Set(cost);
    }
    let limit = rates::patched(rate_limit, row.rate_limit.as_ref())?;
    if limit != row.rate_limit {
        changes.rate_limit = Set(limit);
    }
    let metadata = metadata::patched(&row.metadata, metadata)?;
    if metadata != row.metadata {
        changes.metadata = Set(metadata);
    }
    Ok(changes)
}

pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::load::<Tools>(ctx, id).await?;
    let db = ctx.db();
    let bound = db.find::<agent_tool::Entity>().filter(agent_tool::Column::ToolId.eq(id)).all().await?;
    let agents = db
        .everywhere::<agent::Entity>()
        .filter(agent::Column::Id.is_in(bound.into_iter().map(|bound| bound.agent_id)))
        .filter(agent::Column::DeletedAt.is_null());
    if let Some(agent) = agents.one().await? {
        return Err(in_use(ctx, "agent", &agent.name, agent.workspace_id));
    }
    let definitions = db
        .everywhere::<task_definition::Entity>()
        .filter(task_definition::Column::ToolId.eq(id))
        .filter(task_definition::Column::DeletedAt.is_null());
    if let Some(user) = definitions.one().await? {
        return Err(in_use(ctx, "task definition", &user.name, user.workspace_id));
    }
    crud::delete::<Tools>(ctx, id, expected).await
}

fn merged(current: &Value, patch: Option<&Map<String, Value>>) -> Value {
    let mut merged = current.clone();
    if let Some(patch) = patch {
        document::merge(&mut merged, &Value::Object(patch.clone()));
    }
    merged
}

/// Parses the configuration and checks what it names.
async fn checked(ctx: &Ctx, kind: ToolType, workspace: Option<Uuid>, config: &Value) -> Result<ToolConfig> {
    let parsed = ToolConfig::parse(kind, config)?;
    if let ToolConfig::Agent(call) = &parsed {
        let agent = crud::load_named::<Agents>(ctx, call.agent_id, "/config/agentId").await?;
        workspaces::check_use(workspace, agent.workspace_id, "/config/agentId")?;
        if agent.kind != AgentType::Tool {
            let message = "Only an agent of type TOOL is called by others.";
            return Err(Error::invalid("/config/agentId", "agent_type", message));
        }
    }
    if let ToolConfig::Api(api) = &parsed {
        ctx.core
            .egress
            .check_url(api.sample_url())
            .map_err(|error| Error::invalid("/config/url", error.code(), error.to_string()))?;
        for (index, integration) in api.integrations().enumerate() {
            check_secret(ctx, integration, &format!("/config/secrets/{index}/integrationId")).await?;
        }
    }
    Ok(parsed)
}

fn check_schema(schema: &Value) -> Result<()> {
    if schema.get("type") != Some(&json!("object")) {
        return Err(Error::invalid(
            "/schema/type",
            "schema",
            "Arguments are an object: type must be object.",
        ));
    }
    Schema::compile(schema, "/schema").map(drop)
}

fn check_cost(cost: Nanos) -> Result<()> {
    if cost >= Nanos::ZERO {
        Ok(())
    } else {
        Err(Error::invalid("/costPerCall", "range", "must not be negative"))
    }
}

fn default_schema(config: &ToolConfig) -> Value {
    match config {
        ToolConfig::Function(function) => builtin::find(&function.function),
        ToolConfig::Api(_) | ToolConfig::Agent(_) => None,
    }
    .map_or_else(|| json!({"type": "object"}), builtin::Builtin::parameters)
}

fn default_effect(config: &ToolConfig) -> SideEffect {
    let safe = match config {
        ToolConfig::Api(api) => api.is_safe(),
        ToolConfig::Function(function) => builtin::find(&function.function).is_some(),
        // A call has one child run, however often it is asked for.
        ToolConfig::Agent(_) => true,
    };
    if safe { SideEffect::Safe } else { SideEffect::Once }
}
