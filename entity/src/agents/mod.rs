//! Agents, tools and what binds them.

pub mod agent;
pub mod agent_tool;
pub mod agent_version;
pub mod tool;
