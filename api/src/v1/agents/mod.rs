//! Agents, their versions, their tools.

mod agent_tools;
mod agent_versions;
mod agents;
mod tools;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(agents::routes)
        .configure(agent_versions::routes)
        .configure(agent_tools::routes)
        .configure(tools::routes);
}
