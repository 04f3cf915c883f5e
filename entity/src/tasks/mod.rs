//! Task definitions, runs and their records.

pub mod approval;
pub mod engine_node;
pub mod run_event;
pub mod run_step;
pub mod task_definition;
pub mod task_run;
pub mod worker;
