//! Task definitions, runs and the decisions they wait for.

mod approvals;
mod run_attempts;
mod run_steps;
mod task_definitions;
mod task_runs;
mod tool_invocations;
mod workers;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(task_definitions::routes)
        .configure(task_runs::routes)
        .configure(run_steps::routes)
        .configure(approvals::routes)
        .configure(tool_invocations::routes)
        .configure(workers::routes)
        .configure(run_attempts::routes);
}
