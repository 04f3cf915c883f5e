//! `/v1/tenants`: every tenant, for administrators of the platform.

use actix_web::{get, patch, post};
use service::auth::permissions::platform;
use service::crud::Paging;
use service::identity::tenants::{self, CreateTenant, CreatedTenant, TenantPage, TenantView, UpdateTenant};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_tenants).service(create_tenant).service(get_tenant).service(update_tenant);
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
/// Name, plan, domain and status. A `SUSPENDED` tenant can be read, its new runs are refused with
/// `tenant_suspended`, and what runs comes to its end. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "update_tenant",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateTenant, example = json!({"status": "SUSPENDED"})),
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
