mod task_runs;
