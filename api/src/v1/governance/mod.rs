//! What is recorded about calls.

mod audit_logs;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config.configure(audit_logs::routes);
}
