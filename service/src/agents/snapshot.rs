//! One behaviour of an agent, complete and immutable: what a run reads.

use entity::agents::agent::AgentType;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AgentConfig, AgentToolConfig};

/// Stored in `agent_version.snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSnapshot {
    #[serde(rename = "type")]
    pub kind: AgentType,
    #[schema(required)]
    pub provider_id: Option<Uuid>,
    pub config: AgentConfig,
    /// In the order in which they were bound.
    pub tools: Vec<BoundTool>,
}

/// A tool of the agent with the policy of its use. What the tool does is read when it is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundTool {
    pub tool_id: Uuid,
    /// As it was when the version was made.
    pub name: String,
    pub config: AgentToolConfig,
}
