//! What people are told outside of an answer.

mod mails;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config.configure(mails::routes);
}
