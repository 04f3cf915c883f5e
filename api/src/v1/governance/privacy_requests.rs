//! `/v1/privacy-requests`: exporting and erasing what the tenant has of a person.

use actix_web::{HttpResponse, get, post};
use service::auth::permissions::privacy_requests::{Read, Write};
use service::crud::Paging;
use service::governance::privacy_requests::{
    self, CreatePrivacyRequest, PersonalRow, PrivacyRequestFilter, PrivacyRequestPage, PrivacyRequestView,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::HttpError;
use crate::extract::{Can, Json, Path, Query};
use crate::lines;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_privacy_requests)
        .service(create_privacy_request)
        .service(export_privacy_request)
        .service(get_privacy_request);
}

/// List privacy requests
///
/// What people asked of the tenant, with receipts. Administrators and owners may.
#[utoipa::path(
    tag = "Retention and privacy",
    operation_id = "list_privacy_requests",
    params(Paging, PrivacyRequestFilter),
    responses((status = 200, description = "One page.", body = PrivacyRequestPage)),
    extensions(("x-permission" = json!("privacy-requests:read"))),
)]
#[get("/v1/privacy-requests")]
async fn list_privacy_requests(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<PrivacyRequestFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| privacy_requests::list(&ctx, &paging, filter).await).await?;
    answer::ok(&PrivacyRequestPage::from(page))
}

/// Create a privacy request
///
/// `EXPORT` may be fetched at once, at `/v1/privacy-requests/{id}/export`. `ERASE` takes away, in the
/// background, the person's addresses, devices, sessions and kept answers, and what names them in the audit
/// log, whose chain stays whole; a person whom this tenant made and who belongs nowhere loses the account as
/// well. What they did stays under an id that leads to nobody. A person who still belongs to the tenant is
/// 409 `still_member`. Administrators and owners may.
#[utoipa::path(
    tag = "Retention and privacy",
    operation_id = "create_privacy_request",
    request_body(content = CreatePrivacyRequest, example = json!({
        "kind": "EXPORT", "userId": "0199a000-0000-7000-8000-000000000001", "note": "Ticket 4711",
    })),
    responses((status = 201, description = "The request.", body = PrivacyRequestView, headers(
        ("Location" = String, description = "Where it is."),
    ))),
    extensions(("x-permission" = json!("privacy-requests:write"))),
)]
#[post("/v1/privacy-requests")]
async fn create_privacy_request(caller: Can<Write>, Json(body): Json<CreatePrivacyRequest>) -> Answer {
    let created = caller.run(async move |ctx| privacy_requests::create(&ctx, body).await).await?;
    answer::created(format!("/v1/privacy-requests/{}", created.id), &created)
}

/// Get a privacy request
///
/// With its receipt: how much of what was erased so far. Administrators and owners may.
#[utoipa::path(
    tag = "Retention and privacy",
    operation_id = "get_privacy_request",
    params(("id" = Uuid, Path, description = "The request.")),
    responses((status = 200, description = "The request.", body = PrivacyRequestView)),
    extensions(("x-permission" = json!("privacy-requests:read"))),
)]
#[get("/v1/privacy-requests/{id}")]
async fn get_privacy_request(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&caller.run(async move |ctx| privacy_requests::get(&ctx, id).await).await?)
}

/// Export a person's data
///
/// JSON lines, read when it is asked for: the person, the membership, sessions, API keys and audit rows. An
/// export that fails half-way ends without its last chunk. Administrators and owners may.
#[utoipa::path(
    tag = "Retention and privacy",
    operation_id = "export_privacy_request",
    params(("id" = Uuid, Path, description = "A request of the kind `EXPORT`.")),
    responses(
        (status = 200, description = "The data, one row a line.", body = PersonalRow, content_type = "application/jsonl"),
        (status = 409, description = "The request asks to erase.", body = crate::error::Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("privacy-requests:write"))),
)]
#[get("/v1/privacy-requests/{id}/export")]
async fn export_privacy_request(caller: Can<Write>, Path(id): Path<Uuid>) -> Result<HttpResponse, HttpError> {
    lines::json(caller, async move |ctx| privacy_requests::export(ctx, id).await).await
}
