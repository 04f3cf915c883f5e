mod approvals;
mod bulk_actions;
mod run_explain;
mod run_keys;
mod scheduled_tasks;
mod run_waits;
mod task_definitions;
mod task_runs;
