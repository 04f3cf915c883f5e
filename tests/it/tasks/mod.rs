mod approvals;
mod bulk_actions;
mod run_explain;
mod run_keys;
mod task_definitions;
mod task_runs;
