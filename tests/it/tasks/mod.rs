mod approvals;
mod task_definitions;
mod task_runs;
mod workers;
