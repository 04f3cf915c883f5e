//! `/v1/tenant-erasures`: what is left of closed tenants, for administrators of the platform.

use actix_web::get;
use service::auth::permissions::platform;
use service::crud::Paging;
use service::governance::tenant_erasures::{self, TenantErasureFilter, TenantErasurePage, TenantErasureView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_tenant_erasures).service(get_tenant_erasure);
}

/// List the erasures of tenants
///
/// Tenants whose removal has begun or is done. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "list_tenant_erasures",
    params(Paging, TenantErasureFilter),
    responses((status = 200, description = "A page of receipts.", body = TenantErasurePage)),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[get("/v1/tenant-erasures")]
async fn list_tenant_erasures(
    can: Can<platform::Tenants>,
    Query(paging): Query<Paging>,
    Query(filter): Query<TenantErasureFilter>,
) -> Answer {
    let page = can.run(async move |ctx| tenant_erasures::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&TenantErasurePage::from(page))
}

/// Get the erasure of a tenant
///
/// By the tenant's id: how many rows of what are gone, and since when it is complete. Backups that were taken before
/// still have them. Administrators of the platform may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_tenant_erasure",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The receipt.", body = TenantErasureView)),
    extensions(("x-permission" = json!("platform:tenants"))),
)]
#[get("/v1/tenant-erasures/{id}")]
async fn get_tenant_erasure(can: Can<platform::Tenants>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&can.run(async move |ctx| tenant_erasures::get(&ctx, id).await).await?)
}
