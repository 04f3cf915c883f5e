//! Agents as tools: a call is a child run of the agent, whose input is the arguments.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::config;
use crate::error::Error;

/// `{"agentId": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentCallConfig {
    /// An agent of type TOOL.
    pub agent_id: Uuid,
}

impl AgentCallConfig {
    /// # Errors
    /// [`Error::Invalid`] with pointers that start with `/config`.
    pub fn parse(config: &Value) -> Result<Self, Error> {
        config::parse(config)
    }
}
