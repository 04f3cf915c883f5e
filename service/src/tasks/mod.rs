//! Tasks: what to run, and the runs.

pub mod approvals;
pub mod definition_config;
pub mod launch;
pub mod run_attempts;
pub mod run_steps;
pub mod targets;
pub mod task_definitions;
pub mod task_runs;
pub mod tool_invocations;
pub mod workers;

pub use definition_config::DefinitionConfig;
