//! `/v1/tenant/sign-in`: what the tenant demands of its members' sign-in.

use actix_web::{get, patch};
use service::auth::permissions::tenant;
use service::identity::tenant_sign_in::{self, TenantSignInView, UpdateTenantSignIn};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json};

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_tenant_sign_in).service(update_tenant_sign_in);
}

/// Get what signing in takes
///
/// Whether members need a second factor. Every member may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_tenant_sign_in",
    responses((status = 200, description = "What the tenant demands.", body = TenantSignInView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant/sign-in")]
async fn get_tenant_sign_in(can: Can<tenant::Read>) -> Answer {
    let view = can.run(async move |ctx| tenant_sign_in::get(&ctx).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change what signing in takes
///
/// With `requireSecondFactor`, members who have no second factor get 403 `second_factor_required` from
/// everything of the tenant until they enabled one; their own account stays open to them. It acts on live
/// tokens within a second. API keys go on. Administrators and owners may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "update_tenant_sign_in",
    request_body(content = UpdateTenantSignIn, example = json!({"requireSecondFactor": true})),
    responses((status = 200, description = "What the tenant demands now.", body = TenantSignInView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[patch("/v1/tenant/sign-in")]
async fn update_tenant_sign_in(
    can: Can<tenant::Write>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateTenantSignIn>,
) -> Answer {
    let view = can.run(async move |ctx| tenant_sign_in::update(&ctx, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}
