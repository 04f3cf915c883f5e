//! Who people and programs are.

mod whoami;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config.configure(whoami::routes);
}
