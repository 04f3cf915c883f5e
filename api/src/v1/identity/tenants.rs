//! `/v1/tenants`: every tenant, for administrators of the platform.

use actix_web::{get, patch, post};
use service::auth::permissions::platform;
use service::crud::Paging;
use service::identity::tenants::{
    self, CloseTenant, CreateTenant, CreatedTenant, SuspendTenant, TenantPage, TenantView, UpdateTenant,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_tenants)
        .service(create_tenant)
        .service(get_tenant)
        .service(update_tenant)
        .service(suspend_tenant)
        .service(resume_tenant)
        .service(close_tenant)
        .service(reopen_tenant);
}

/// List all tenants
///
/// Every tenant of the platform, whatever its status. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "list_tenants",
    params(Paging),
    responses((status = 200, description = "A page of tenants.", body = TenantPage)),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[get("/v1/tenants")]
async fn list_tenants(can: Can<platform::Tenants>, Query(paging): Query<Paging>) -> Answer {
    let page = can.run(async move |ctx| tenants::list(&ctx, &paging).await).await?;
    answer::ok(&TenantPage::from(page))
}

/// Create a tenant
///
/// Makes the tenant and its first owner: the person with that e-mail if the platform knows them, else
/// a new one. A new owner without a password gets one that is shown in this answer only. Administrators
/// of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "create_tenant",
    request_body(content = CreateTenant, example = json!({"name": "Example Ltd", "slug": "example", "plan": "STARTER", "owner": {"email": "ada@example.org", "name": "Ada Lovelace"}})),
    responses((status = 201, description = "The new tenant.", body = CreatedTenant, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[post("/v1/tenants")]
async fn create_tenant(can: Can<platform::Tenants>, Json(create): Json<CreateTenant>) -> Answer {
    let created = can.run(async move |ctx| tenants::create(&ctx, create).await).await?;
    answer::created_tagged(format!("/v1/tenants/{}", created.tenant.id), &created, created.tenant.revision)
}

/// Get a tenant
///
/// Administrators of the platform may; everybody reads their own at `/v1/tenant`.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_tenant",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[get("/v1/tenants/{id}")]
async fn get_tenant(can: Can<platform::Tenants>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| tenants::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change a tenant
///
/// Name, plan and domain. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "update_tenant",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateTenant, example = json!({"plan": "PRO"})),
    responses((status = 200, description = "The changed tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[patch("/v1/tenants/{id}")]
async fn update_tenant(
    can: Can<platform::Tenants>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateTenant>,
) -> Answer {
    let view = can.run(async move |ctx| tenants::update(&ctx, id, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Suspend a tenant
///
/// It can be read, and whatever ends or narrows something can be done: cancelling runs, pausing agents, deleting,
/// revoking, answering approvals. Everything else is refused with `tenant_suspended`; runs that execute come to
/// their end, and what waits goes on waiting. Its owners are told, with the reason. A tenant that is not `ACTIVE`
/// is 409 `invalid_transition`. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "suspend_tenant",
    params(("id" = Uuid, Path)),
    request_body(content = SuspendTenant, example = json!({"reason": "An invoice is overdue."})),
    responses((status = 200, description = "The suspended tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[post("/v1/tenants/{id}/suspend")]
async fn suspend_tenant(
    can: Can<platform::Tenants>,
    Path(id): Path<Uuid>,
    Json(suspend): Json<SuspendTenant>,
) -> Answer {
    let view = can.run(async move |ctx| tenants::suspend(&ctx, id, suspend).await).await?;
    answer::tagged(&view, view.revision)
}

/// Resume a suspended tenant
///
/// What waits goes on. A tenant that is not `SUSPENDED` is 409 `invalid_transition`. Administrators of the platform
/// may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "resume_tenant",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The active tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[post("/v1/tenants/{id}/resume")]
async fn resume_tenant(can: Can<platform::Tenants>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| tenants::resume(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Close a tenant
///
/// At once as if it were suspended (`tenant_closing`), and from `eraseAt` on everything in it is removed, which
/// `GET /v1/tenant-erasures/{id}` tells the progress of. Until then it can be reopened. Its owners are told. The only
/// tenant that an administrator of the platform can sign in to is 409 `platform_home`. Administrators of the platform
/// may; owners close their own at `POST /v1/tenant/close`.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "close_tenant",
    params(("id" = Uuid, Path)),
    request_body(content = CloseTenant, example = json!({"eraseAfterDays": 14})),
    responses((status = 200, description = "The closed tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[post("/v1/tenants/{id}/close")]
async fn close_tenant(
    can: Can<platform::Tenants>,
    Path(id): Path<Uuid>,
    Json(close): Json<CloseTenant>,
) -> Answer {
    let view = can.run(async move |ctx| tenants::close(&ctx, id, close).await).await?;
    answer::tagged(&view, view.revision)
}

/// Reopen a closed tenant
///
/// It is again what it was before it was closed: a suspended one stays suspended. Once its erasure has begun it is
/// 409 `invalid_transition`. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "reopen_tenant",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The tenant.", body = TenantView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[post("/v1/tenants/{id}/reopen")]
async fn reopen_tenant(can: Can<platform::Tenants>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| tenants::reopen(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}
