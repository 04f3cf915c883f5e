//! `/v1/tenant/retention`: how long the tenant's data is kept, and what would go now.

use actix_web::{get, patch};
use service::auth::permissions::tenant;
use service::governance::tenant_retention::{
    self, RetentionPreview, TenantRetentionView, UpdateTenantRetention,
};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_tenant_retention).service(update_tenant_retention);
}

/// Get the retention
///
/// For each class of data how long it is kept and how much would be removed now. Removal happens in
/// small batches once an hour, never takes what is live, and leaves an audit row. With days as parameters it is a
/// preview of what would be removed if the tenant chose them, within the floor of the class and the plan's ceiling:
/// nothing is changed. Every member may.
#[utoipa::path(
    tag = "Retention and privacy",
    operation_id = "get_tenant_retention",
    params(RetentionPreview),
    responses((status = 200, description = "The retention.", body = TenantRetentionView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant/retention")]
async fn get_tenant_retention(can: Can<tenant::Read>, Query(preview): Query<RetentionPreview>) -> Answer {
    let view = can.run(async move |ctx| tenant_retention::get(&ctx, preview).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change the retention
///
/// A merge patch: absent keeps, `null` goes back to the default, which follows `dataRetentionDays`. More
/// than the plan's ceiling is refused; the audit log is kept for at least 90 days. Administrators and
/// owners may.
#[utoipa::path(
    tag = "Retention and privacy",
    operation_id = "update_tenant_retention",
    request_body(content = UpdateTenantRetention, example = json!({"runsDays": 90, "auditDays": 365})),
    responses((status = 200, description = "The changed retention.", body = TenantRetentionView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("tenant:write"))),
)]
#[patch("/v1/tenant/retention")]
async fn update_tenant_retention(
    can: Can<tenant::Write>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateTenantRetention>,
) -> Answer {
    let view = can.run(async move |ctx| tenant_retention::update(&ctx, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}
