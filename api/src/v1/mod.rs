//! The URL tree. Every operation is registered here, through its domain, and nowhere else.

mod identity;
mod operations;
mod tasks;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config.configure(identity::routes).configure(tasks::routes).configure(operations::routes);
}
