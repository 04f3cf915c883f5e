//! `/v1/audit-logs`: who did what. There is no way to change it.

use actix_web::{HttpResponse, get};
use service::auth::permissions::audit_logs::Read;
use service::crud::Paging;
use service::governance::audit_logs::{
    self, AuditCheckpoint, AuditExport, AuditExportRow, AuditLogFilter, AuditLogPage, AuditLogView,
    AuditVerification, VerifyAuditLogs,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::HttpError;
use crate::extract::{Can, Path, Query};
use crate::lines;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_audit_logs)
        .service(verify_audit_logs)
        .service(export_audit_logs)
        .service(get_audit_checkpoint)
        .service(get_audit_log);
}

/// List audit rows
///
/// One row for each change, written in the transaction of the change, and for each refusal. Secrets are
/// masked. Creating a run is recorded in the run itself (`createdBy`, and its first event). Administrators
/// and owners may.
#[utoipa::path(
    tag = "Audit log",
    operation_id = "list_audit_logs",
    params(Paging, AuditLogFilter),
    responses((status = 200, description = "One page.", body = AuditLogPage)),
    extensions(("x-permission" = json!("audit-logs:read"))),
)]
#[get("/v1/audit-logs")]
async fn list_audit_logs(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<AuditLogFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| audit_logs::list(&ctx, &paging, filter).await).await?;
    answer::ok(&AuditLogPage::from(page))
}

/// Verify the chain
///
/// Computes every hash again and says where the chain first breaks: a row that was changed, removed,
/// inserted or moved, or an end that is missing. A checkpoint that was kept outside also shows that the
/// whole chain was not rewritten. `complete` is false where the limit came before the end: go on behind
/// `verified`. Administrators and owners may.
#[utoipa::path(
    tag = "Audit log",
    operation_id = "verify_audit_logs",
    params(VerifyAuditLogs),
    responses((status = 200, description = "What was found.", body = AuditVerification)),
    extensions(("x-permission" = json!("audit-logs:read"))),
)]
#[get("/v1/audit-logs/verify")]
async fn verify_audit_logs(caller: Can<Read>, Query(verify): Query<VerifyAuditLogs>) -> Answer {
    answer::ok(&caller.run(async move |ctx| audit_logs::verify(&ctx, verify).await).await?)
}

/// Export audit rows
///
/// JSON lines in the order of the chain, each with the bytes that its hashes were made of, so that they
/// can be verified elsewhere; the formula is in `docs/security.md`. Go on with the last line's `number` as
/// `after`. An export that fails half-way ends without its last chunk. Administrators and owners may.
#[utoipa::path(
    tag = "Audit log",
    operation_id = "export_audit_logs",
    params(AuditExport),
    responses((status = 200, description = "The rows, one a line.", body = AuditExportRow, content_type = "application/jsonl")),
    extensions(("x-permission" = json!("audit-logs:read"))),
)]
#[get("/v1/audit-logs/export")]
async fn export_audit_logs(
    caller: Can<Read>,
    Query(export): Query<AuditExport>,
) -> Result<HttpResponse, HttpError> {
    lines::json(caller, async move |ctx| audit_logs::export(ctx, export).await).await
}

/// Take a checkpoint
///
/// The number and hash of the last row, signed by the server: kept outside, it proves later what the log
/// was at this moment. Administrators and owners may.
#[utoipa::path(
    tag = "Audit log",
    operation_id = "get_audit_checkpoint",
    responses((status = 200, description = "The checkpoint.", body = AuditCheckpoint)),
    extensions(("x-permission" = json!("audit-logs:read"))),
)]
#[get("/v1/audit-logs/checkpoint")]
async fn get_audit_checkpoint(caller: Can<Read>) -> Answer {
    answer::ok(&caller.run(async move |ctx| audit_logs::take_checkpoint(&ctx).await).await?)
}

/// Get an audit row
///
/// The row as it was written; only its personal detail may have been erased. Administrators and owners may.
#[utoipa::path(
    tag = "Audit log",
    operation_id = "get_audit_log",
    params(("id" = Uuid, Path, description = "The audit row.")),
    responses((status = 200, description = "The audit row.", body = AuditLogView)),
    extensions(("x-permission" = json!("audit-logs:read"))),
)]
#[get("/v1/audit-logs/{id}")]
async fn get_audit_log(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&caller.run(async move |ctx| audit_logs::get(&ctx, id).await).await?)
}
