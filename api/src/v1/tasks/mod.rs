//! Task definitions, runs and the decisions they wait for.

mod approval_links;
mod approvals;
mod batch_tasks;
mod bulk_actions;
mod events;
mod hook_deliveries;
mod hooks;
mod inbound_hooks;
mod queue;
mod recurrences;
mod run_attempts;
mod run_explain;
mod run_input;
mod run_steps;
mod run_waits;
mod schedule_fires;
mod scheduled_tasks;
mod stream;
mod task_definitions;
mod task_runs;
mod task_targets;
mod tool_invocations;
mod workers;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(task_definitions::routes)
        .configure(task_runs::routes)
        .configure(stream::routes)
        .configure(run_steps::routes)
        .configure(run_explain::routes)
        .configure(bulk_actions::routes)
        .configure(scheduled_tasks::routes)
        .configure(schedule_fires::routes)
        .configure(recurrences::routes)
        .configure(batch_tasks::routes)
        .configure(task_targets::routes)
        .configure(run_input::routes)
        .configure(events::routes)
        .configure(inbound_hooks::routes)
        .configure(hook_deliveries::routes)
        .configure(hooks::routes)
        .configure(run_waits::routes)
        .configure(approvals::routes)
        .configure(approval_links::routes)
        .configure(queue::routes)
        .configure(tool_invocations::routes)
        .configure(workers::routes)
        .configure(run_attempts::routes);
}
