//! `/v1/tenant`: the tenant of the caller's credential.

use actix_web::{get, patch};
use service::auth::permissions::tenant;
use service::identity::tenants::{self, TenantView, UpdateOwnTenant};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json};

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_current_tenant).service(update_current_tenant);
}

/// Get the current tenant
///
/// The tenant that the credential acts in. Every member may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_current_tenant",
    responses((status = 200, description = "The tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant")]
async fn get_current_tenant(can: Can<tenant::Read>) -> Answer {
    let view = can.run(async move |ctx| tenants::get_own(&ctx).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change the current tenant
///
/// A merge patch: absent keeps, `null` clears, `settings` is merged key by key and knows no other keys than
/// those documented. Admins and owners may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "update_current_tenant",
    request_body(content = UpdateOwnTenant, example = json!({"name": "Example Ltd", "settings": {"theme": "DARK"}})),
    responses((status = 200, description = "The changed tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[patch("/v1/tenant")]
async fn update_current_tenant(
    can: Can<tenant::Write>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateOwnTenant>,
) -> Answer {
    let view = can.run(async move |ctx| tenants::update_own(&ctx, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}
