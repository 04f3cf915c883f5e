//! Task definitions, runs and their records.

pub mod approval;
pub mod batch_task;
pub mod bulk_action;
pub mod bulk_action_item;
pub mod engine_node;
pub mod event;
pub mod event_run;
pub mod hook_body;
pub mod hook_delivery;
pub mod inbound_hook;
pub mod run_dedupe;
pub mod run_event;
pub mod run_step;
pub mod run_wait;
pub mod schedule_fire;
pub mod scheduled_task;
pub mod task_definition;
pub mod task_run;
pub mod task_target;
pub mod worker;
