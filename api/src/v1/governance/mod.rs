//! What is recorded about calls.

mod audit_logs;
mod privacy_requests;
mod team_activity_logs;
mod tenant_erasures;
mod tenant_retention;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(audit_logs::routes)
        .configure(team_activity_logs::routes)
        .configure(privacy_requests::routes)
        .configure(tenant_erasures::routes)
        .configure(tenant_retention::routes);
}
