//! Everything that a run of an agent reads before its first turn. It does not change while the run
//! lasts, so that a resumed run asks the same questions of the same models.

use std::sync::Arc;

use entity::agents::tool::SideEffect;
use serde_json::Value;

use crate::agents::{AgentConfig, AgentToolConfig};
use crate::error::Result;
use crate::runtime::call::Tool;
use crate::runtime::models::{ModelError, ModelProvider, ToolSpec};
use crate::runtime::rate::Bucket;
use crate::schema::{Schema, SchemaCache};
use crate::usage::Price;

pub struct Plan {
    pub config: AgentConfig,
    /// The model and its fallbacks, in the order in which they are tried; at least one.
    pub models: Vec<Candidate>,
    pub tools: Vec<Bound>,
    pub output: Option<Output>,
}

/// A model with who serves it and what it costs.
pub struct Candidate {
    pub model: String,
    /// The error when no provider could be set up for it.
    pub provider: Result<Arc<dyn ModelProvider>, ModelError>,
    /// `None` when the price is not known.
    pub price: Option<Price>,
    /// The rate limit of who serves it.
    pub bucket: Option<Bucket>,
}

/// A tool with the policy of its use.
pub struct Bound {
    pub tool: Tool,
    pub policy: AgentToolConfig,
    pub spec: ToolSpec,
}

impl Bound {
    pub fn new(tool: Tool, policy: AgentToolConfig) -> Self {
        let spec = ToolSpec {
            name: tool.row.name.clone(),
            description: tool.row.description.clone(),
            parameters: policy.visible(tool.row.schema.clone()),
            safe: tool.row.side_effect == SideEffect::Safe,
        };
        Self { tool, policy, spec }
    }

    /// Whether it may be made beside others; a wait is not made at all.
    pub fn is_safe(&self) -> bool {
        self.spec.safe && !self.is_wait()
    }

    pub fn is_wait(&self) -> bool {
        self.tool.config.is_wait()
    }
}

/// What the final answer has to be.
pub struct Output {
    pub schema: Value,
    pub compiled: Schema,
}

impl Output {
    pub async fn new(schema: Value, schemas: &SchemaCache) -> Result<Self> {
        Ok(Self { compiled: schemas.get(&schema).await?, schema })
    }
}

impl Plan {
    pub(super) fn tool(&self, name: &str) -> Option<&Bound> {
        self.tools.iter().find(|bound| bound.spec.name == name)
    }
}
