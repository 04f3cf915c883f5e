//! What an agent does: the fields whose change makes a new version.

use entity::money::Nanos;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

/// Stored in `agent.config` and in each version's snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentConfig {
    /// Free-form traits, given to the model after the system prompt.
    #[schema(value_type = Object)]
    pub personality: Map<String, Value>,
    #[schema(required)]
    pub system_prompt: Option<String>,
    /// `gpt-4o-mini`, `mock/echo`, …
    pub model: String,
    /// Tried in order when the model cannot be reached.
    pub fallback_models: Vec<String>,
    /// Null leaves it to the model: some refuse to be told.
    #[schema(required)]
    pub temperature: Option<f64>,
    /// The most tokens of one answer.
    pub max_tokens: u32,
    pub knowledge_base_ids: Vec<Uuid>,
    pub mcp_server_ids: Vec<Uuid>,
    #[schema(required)]
    pub welcome_message: Option<String>,
    pub handoff_enabled: bool,
    /// `chat`, `code`, `browse`, `files`, …: what the agent says it can do.
    pub capabilities: Vec<String>,
    /// A flat charge for each run, in USD, on top of its model and tools.
    #[schema(required)]
    pub cost_per_run: Option<Nanos>,
    pub limits: AgentLimits,
    /// Where its runs are executed.
    pub delivery: Delivery,
    /// JSON Schema of the final answer.
    #[schema(required, value_type = Option<Object>)]
    pub output_schema: Option<Value>,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            personality: Map::new(),
            system_prompt: None,
            model: "gpt-4o-mini".to_owned(),
            fallback_models: Vec::new(),
            temperature: Some(0.7),
            max_tokens: 2048,
            knowledge_base_ids: Vec::new(),
            mcp_server_ids: Vec::new(),
            welcome_message: None,
            handoff_enabled: false,
            capabilities: Vec::new(),
            cost_per_run: None,
            limits: AgentLimits::default(),
            delivery: Delivery::default(),
            output_schema: None,
        }
    }
}

/// Who executes an agent's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// The engine, which calls the model and the tools.
    #[default]
    Engine,
    /// A worker that offers `agent:<slug>`: what it does is its own affair.
    Worker,
}

impl Delivery {
    /// What a worker offers who executes the runs of the agent with this slug.
    pub fn capability(self, slug: &str) -> Option<String> {
        match self {
            Self::Engine => None,
            Self::Worker => Some(format!("agent:{slug}")),
        }
    }
}

/// What one run of the agent may use, at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentLimits {
    /// Model turns.
    #[validate(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000, default = 25)]
    pub max_steps: u32,
    #[validate(range(max = 1_000))]
    #[schema(maximum = 1_000, default = 50)]
    pub max_tool_calls: u32,
    /// In USD; null is no limit.
    pub max_cost: Option<Nanos>,
    /// Of one attempt; null leaves it to the task's time-outs.
    #[validate(range(min = 1, max = 86_400))]
    #[schema(minimum = 1, maximum = 86_400)]
    pub max_duration_seconds: Option<u32>,
    /// How deep agents may call agents.
    #[validate(range(max = 16))]
    #[schema(maximum = 16, default = 4)]
    pub max_depth: u32,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self { max_steps: 25, max_tool_calls: 50, max_cost: None, max_duration_seconds: None, max_depth: 4 }
    }
}

/// What one run may use at most, where that is less than its agent allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RunLimits {
    /// Model turns.
    #[validate(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000)]
    pub max_steps: Option<u32>,
    #[validate(range(max = 1_000))]
    #[schema(maximum = 1_000)]
    pub max_tool_calls: Option<u32>,
    /// In USD.
    pub max_cost: Option<Nanos>,
    /// Of one attempt.
    #[validate(range(min = 1, max = 86_400))]
    #[schema(minimum = 1, maximum = 86_400)]
    pub max_duration_seconds: Option<u32>,
}

impl RunLimits {
    /// The smaller of both: a run widens nothing.
    pub fn within(&self, agent: &AgentLimits) -> AgentLimits {
        let Self { max_steps, max_tool_calls, max_cost, max_duration_seconds } = self;
        let least = |own: Option<u32>, agent: u32| own.map_or(agent, |own| own.min(agent));
        AgentLimits {
            max_steps: least(*max_steps, agent.max_steps),
            max_tool_calls: least(*max_tool_calls, agent.max_tool_calls),
            max_cost: [*max_cost, agent.max_cost].into_iter().flatten().min(),
            max_duration_seconds: [*max_duration_seconds, agent.max_duration_seconds]
                .into_iter()
                .flatten()
                .min(),
            max_depth: agent.max_depth,
        }
    }
}
