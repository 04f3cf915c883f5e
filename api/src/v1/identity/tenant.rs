//! `/v1/tenant`: the tenant of the caller's credential.

use actix_web::{get, patch, post};
use service::auth::permissions::tenant;
use service::identity::tenants::{self, CloseOwnTenant, TenantView, UpdateOwnTenant};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(get_current_tenant)
        .service(update_current_tenant)
        .service(close_current_tenant)
        .service(reopen_current_tenant);
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

/// Close the current tenant
///
/// At once nothing new starts and nothing can be changed (`tenant_closing`), what runs comes to its end, and from
/// `eraseAt` on everything is removed for good. Until then any owner can reopen it. All owners are told. The slug
/// has to be repeated. Owners may, signed in as persons.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "close_current_tenant",
    request_body(content = CloseOwnTenant, example = json!({"slug": "example", "eraseAfterDays": 30})),
    responses((status = 200, description = "The closed tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:close"))),
)]
#[post("/v1/tenant/close")]
async fn close_current_tenant(can: Can<tenant::Close>, Json(close): Json<CloseOwnTenant>) -> Answer {
    let view = can.run(async move |ctx| tenants::close_own(&ctx, close).await).await?;
    answer::tagged(&view, view.revision)
}

/// Reopen the current tenant
///
/// It is again what it was before it was closed: a suspended one stays suspended. One that the platform closed is 403
/// `closed_by_platform`, one that is not closed 409 `invalid_transition`. Owners may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "reopen_current_tenant",
    responses((status = 200, description = "The tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:close"))),
)]
#[post("/v1/tenant/reopen")]
async fn reopen_current_tenant(can: Can<tenant::Close>) -> Answer {
    let view = can.run(async move |ctx| tenants::reopen_own(&ctx).await).await?;
    answer::tagged(&view, view.revision)
}
