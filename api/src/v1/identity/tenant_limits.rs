//! `/v1/tenant/limits`: what the plan of the caller's tenant allows.

use actix_web::get;
use service::auth::permissions::tenant;
use service::identity::tenant_limits::{self, TenantLimitsView};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::Can;

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_tenant_limits);
}

/// Get the limits of the plan
///
/// How much of each quota is used, how much the plan allows, from where on it is alarming and when it
/// starts again. One more than a quota allows is refused with `quota_exceeded`; runs beyond those that may
/// wait with 429 `queue_full`. Every member may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_tenant_limits",
    responses((status = 200, description = "The limits.", body = TenantLimitsView)),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant/limits")]
async fn get_tenant_limits(can: Can<tenant::Read>) -> Answer {
    let view = can.run(async move |ctx| tenant_limits::get(&ctx).await).await?;
    answer::ok(&view)
}
