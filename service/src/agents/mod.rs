//! Agents: what they do, in immutable versions; their tools and the policy of their use.

pub mod agent_calls;
mod agent_config;
pub mod agent_tools;
pub mod agent_versions;
pub mod agent_views;
pub mod agents;
mod diff;
pub mod snapshot;
pub mod tool_policy;
pub mod tools;

pub use agent_config::{AgentConfig, AgentLimits, Delivery, RunLimits};
pub use snapshot::{AgentSnapshot, BoundTool, SnapshotCache, snapshot};
pub use tool_policy::{AgentToolConfig, Condition, ToolPolicy};
