//! The URL tree. Every operation is registered here, through its domain, and nowhere else.

mod agents;
mod governance;
mod identity;
mod integrations;
mod notifications;
mod operations;
mod tasks;
mod usage;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(identity::routes)
        .configure(integrations::routes)
        .configure(usage::routes)
        .configure(agents::routes)
        .configure(tasks::routes)
        .configure(governance::routes)
        .configure(notifications::routes)
        .configure(operations::routes);
}
