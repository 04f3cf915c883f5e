//! What is used and what it costs.

mod model_prices;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config.configure(model_prices::routes);
}
