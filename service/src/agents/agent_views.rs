//! What an agent looks like from outside: its bodies and its view.

use chrono::{DateTime, Utc};
use entity::agents::agent::{AgentStatus, AgentType, Model};
use entity::money::Nanos;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{AgentConfig, AgentLimits, Delivery};
use crate::crud::{self, Metadata, MetadataPatch, Patch, document, metadata, patch, slug};

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateAgent {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Unique in the tenant; made from the name when absent.
    #[validate(length(min = 1, max = 64), custom(function = "slug::valid"))]
    #[schema(max_length = 64, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
    pub slug: Option<String>,
    /// It cannot be changed by a PATCH: `POST /v1/workspaces/{id}/transfer` moves.
    pub workspace_id: Option<Uuid>,
    #[serde(rename = "type")]
    pub kind: AgentType,
    /// An integration with a model provider; null is the operator's default.
    pub provider_id: Option<Uuid>,
    /// `gpt-4o-mini` when absent. The `mock/*` models need no provider.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, default = "gpt-4o-mini")]
    pub model: Option<String>,
    #[serde(default)]
    #[validate(length(max = 5), custom(function = "valid_models"))]
    #[schema(max_items = 5)]
    pub fallback_models: Vec<String>,
    #[validate(length(max = 200_000))]
    #[schema(max_length = 200_000)]
    pub system_prompt: Option<String>,
    /// Free-form traits, given to the model after the system prompt.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub personality: Map<String, Value>,
    /// 0.7 when absent; null leaves it to the model.
    #[serde(default)]
    #[validate(range(min = 0.0, max = 2.0))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 2, default = 0.7)]
    pub temperature: Patch<f64>,
    /// 2048 when absent.
    #[validate(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000, default = 2048)]
    pub max_tokens: Option<u32>,
    /// There are no knowledge bases yet: leave it empty.
    #[serde(default)]
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    pub knowledge_base_ids: Vec<Uuid>,
    /// There are no MCP servers yet: leave it empty.
    #[serde(default)]
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    pub mcp_server_ids: Vec<Uuid>,
    #[validate(length(max = 4_000))]
    #[schema(max_length = 4_000)]
    pub welcome_message: Option<String>,
    #[serde(default)]
    pub handoff_enabled: bool,
    #[serde(default)]
    #[validate(length(max = 50), custom(function = "valid_capabilities"))]
    #[schema(max_items = 50)]
    pub capabilities: Vec<String>,
    /// How many of its runs may be executed at once, over all nodes; null is no limit of its own.
    #[validate(range(min = 1, max = 10_000))]
    #[schema(minimum = 1, maximum = 10_000)]
    pub max_concurrent: Option<i32>,
    /// A flat charge for each run, in USD.
    pub cost_per_run: Option<Nanos>,
    #[serde(default)]
    #[validate(nested)]
    pub limits: AgentLimits,
    /// ENGINE when absent. WORKER: its runs wait for a worker that offers `agent:<slug>`.
    #[serde(default)]
    pub delivery: Delivery,
    /// JSON Schema of the final answer.
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Value>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

/// A merge patch: absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateAgent {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 64), custom(function = "slug::valid"))]
    #[schema(max_length = 64, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", nullable = false)]
    pub slug: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub kind: Option<AgentType>,
    #[serde(default)]
    #[schema(value_type = Option<Uuid>)]
    pub provider_id: Patch<Uuid>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub model: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 5), custom(function = "valid_models"))]
    #[schema(max_items = 5, nullable = false)]
    pub fallback_models: Option<Vec<String>>,
    #[serde(default)]
    #[validate(length(max = 200_000))]
    #[schema(value_type = Option<String>, max_length = 200_000)]
    pub system_prompt: Patch<String>,
    /// Merged.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub personality: Patch<Map<String, Value>>,
    #[serde(default)]
    #[validate(range(min = 0.0, max = 2.0))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 2)]
    pub temperature: Patch<f64>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    pub max_tokens: Option<u32>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 50))]
    #[schema(max_items = 50, nullable = false)]
    pub knowledge_base_ids: Option<Vec<Uuid>>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 50))]
    #[schema(max_items = 50, nullable = false)]
    pub mcp_server_ids: Option<Vec<Uuid>>,
    #[serde(default)]
    #[validate(length(max = 4_000))]
    #[schema(value_type = Option<String>, max_length = 4_000)]
    pub welcome_message: Patch<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub handoff_enabled: Option<bool>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 50), custom(function = "valid_capabilities"))]
    #[schema(max_items = 50, nullable = false)]
    pub capabilities: Option<Vec<String>>,
    #[serde(default)]
    #[validate(range(min = 1, max = 10_000))]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 10_000)]
    pub max_concurrent: Patch<i32>,
    #[serde(default)]
    #[schema(value_type = Option<Nanos>)]
    pub cost_per_run: Patch<Nanos>,
    /// Merged.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(value_type = Option<AgentLimits>, nullable = false)]
    pub limits: Option<Value>,
    /// Runs that are queued stay where they were queued.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub delivery: Option<Delivery>,
    /// Merged.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub output_schema: Patch<Value>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentView {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    #[serde(rename = "type")]
    pub kind: AgentType,
    pub status: AgentStatus,
    #[schema(required)]
    pub status_reason: Option<String>,
    /// The number of the version that new runs use.
    pub current_version: i32,
    #[schema(required)]
    pub provider_id: Option<Uuid>,
    #[schema(required)]
    pub max_concurrent: Option<i32>,
    #[serde(flatten)]
    pub config: AgentConfig,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(AgentPage, AgentView);

impl From<Model> for AgentView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            name,
            slug,
            kind,
            status,
            status_reason,
            stopped_at: _,
            current_version,
            config,
            provider_id,
            max_concurrent,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
        } = row;
        Self {
            id,
            name,
            slug,
            workspace_id,
            kind,
            status,
            status_reason,
            current_version,
            provider_id,
            max_concurrent,
            config: document::read(config),
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
pub struct AgentFilter {
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<AgentType>,
    pub status: Option<AgentStatus>,
    #[param(max_length = 200)]
    pub model: Option<String>,
    #[param(max_length = 64)]
    pub slug: Option<String>,
    pub provider_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
}

/// Why an agent is paused.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseAgent {
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

fn valid_models(models: &[String]) -> Result<(), ValidationError> {
    each_is_short(models, 200)
}

pub(super) fn valid_capabilities(capabilities: &[String]) -> Result<(), ValidationError> {
    each_is_short(capabilities, 64)
}

fn each_is_short(texts: &[String], max: usize) -> Result<(), ValidationError> {
    if texts.iter().all(|text| (1..=max).contains(&text.chars().count())) {
        return Ok(());
    }
    Err(ValidationError::new("length")
        .with_message(format!("must hold texts of 1 to {max} characters").into()))
}
