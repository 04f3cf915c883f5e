//! Tasks: what to run, and the runs.

pub mod alarm;
pub mod approval_links;
pub mod approvals;
pub mod batch_tasks;
pub mod bulk_actions;
pub mod children;
pub mod definition_config;
pub mod events;
pub mod graph;
pub mod hook_deliveries;
pub mod hooks;
pub mod inbound_hooks;
pub mod launch;
pub mod queue;
pub mod recurrences;
pub mod run_attempts;
pub mod run_explain;
pub mod run_input;
pub mod run_keys;
pub mod run_steps;
pub mod run_waits;
pub mod schedule_fires;
pub mod scheduled_tasks;
pub mod stream;
pub mod targets;
pub mod task_definitions;
pub mod task_runs;
pub mod task_targets;
pub mod tool_invocations;
pub mod triggers;
pub mod workers;

pub use definition_config::DefinitionConfig;
