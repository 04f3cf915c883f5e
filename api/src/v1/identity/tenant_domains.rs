//! `/v1/tenant/domains`: domains that the tenant has proved, whose people join by signing in.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::tenant;
use service::crud::Paging;
use service::identity::tenant_domains::{
    self, CreateTenantDomain, TenantDomainPage, TenantDomainView, UpdateTenantDomain,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::Problem;
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_tenant_domains)
        .service(create_tenant_domain)
        .service(get_tenant_domain)
        .service(update_tenant_domain)
        .service(verify_tenant_domain)
        .service(delete_tenant_domain);
}

/// List the tenant's domains
///
/// Claimed and proved ones. Every member may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "list_tenant_domains",
    params(Paging),
    responses((status = 200, description = "A page of domains.", body = TenantDomainPage)),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant/domains")]
async fn list_tenant_domains(can: Can<tenant::Read>, Query(paging): Query<Paging>) -> Answer {
    let page = can.run(async move |ctx| tenant_domains::list(&ctx, &paging).await).await?;
    answer::ok(&TenantDomainPage::from(page))
}

/// Claim a domain
///
/// Nothing follows from it before the domain is proved: put the TXT record of the answer into its zone, or the same
/// line into the file that the answer names, then verify. Domains of mail providers and registries are refused. At most 50. Administrators and
/// owners may, and give `joinRole` up to their own.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "create_tenant_domain",
    request_body(content = CreateTenantDomain, example = json!({"domain": "example.org", "joinRole": "VIEWER"})),
    responses((status = 201, description = "The claimed domain, with the record to make.", body = TenantDomainView, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[post("/v1/tenant/domains")]
async fn create_tenant_domain(can: Can<tenant::Write>, Json(create): Json<CreateTenantDomain>) -> Answer {
    let view = can.run(async move |ctx| tenant_domains::create(&ctx, create).await).await?;
    answer::created_tagged(format!("/v1/tenant/domains/{}", view.id), &view, view.revision)
}

/// Get a domain
///
/// With the TXT record or file that proves it, and whether and how it is proved. Every member may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_tenant_domain",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The domain.", body = TenantDomainView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant/domains/{id}")]
async fn get_tenant_domain(can: Can<tenant::Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| tenant_domains::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change a domain
///
/// The role that new people get from now on. Administrators and owners may, up to their own role.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "update_tenant_domain",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateTenantDomain, example = json!({"joinRole": "OPERATOR"})),
    responses((status = 200, description = "The changed domain.", body = TenantDomainView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[patch("/v1/tenant/domains/{id}")]
async fn update_tenant_domain(
    can: Can<tenant::Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateTenantDomain>,
) -> Answer {
    let view = can.run(async move |ctx| tenant_domains::update(&ctx, id, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Prove a domain
///
/// Looks for the TXT record, then for the file, which counts only over https and where no redirect leads elsewhere. From then on new people who sign in with a provider that has verified their
/// address at this domain become members with `joinRole`. A domain is one tenant's: 409 `domain_taken` where
/// another one has proved it. Verifying a proved domain changes nothing. Administrators and owners may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "verify_tenant_domain",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The proved domain.", body = TenantDomainView, headers(("ETag" = String, description = "Its revision."))),
        (status = 502, description = "The name server does not answer, and there is no file.", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[post("/v1/tenant/domains/{id}/verify")]
async fn verify_tenant_domain(can: Can<tenant::Write>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| tenant_domains::verify(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Delete a domain
///
/// Nobody joins by it any more; who joined stays. Administrators and owners may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "delete_tenant_domain",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[delete("/v1/tenant/domains/{id}")]
async fn delete_tenant_domain(
    can: Can<tenant::Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Answer {
    can.run(async move |ctx| tenant_domains::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}
