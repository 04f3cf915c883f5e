//! What people are told outside of an answer.

mod mails;
mod notification_preferences;
mod notifications;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(notifications::routes)
        .configure(notification_preferences::routes)
        .configure(mails::routes);
}
