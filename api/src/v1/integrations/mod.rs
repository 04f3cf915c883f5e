//! Connections to other systems.

mod integrations;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config.configure(integrations::routes);
}
