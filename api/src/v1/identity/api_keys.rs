//! `/v1/api-keys`: credentials for programs.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::api_keys::{Read, Write};
use service::crud::Paging;
use service::identity::api_keys::{
    self, ApiKeyFilter, ApiKeyPage, ApiKeyView, CreateApiKey, CreatedApiKey, RotateApiKey, UpdateApiKey,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_api_keys)
        .service(create_api_key)
        .service(get_api_key)
        .service(update_api_key)
        .service(rotate_api_key)
        .service(delete_api_key);
}

/// List API keys
///
/// All keys of the tenant without their secrets, revoked ones too. Managers and above may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "list_api_keys",
    params(Paging, ApiKeyFilter),
    responses((status = 200, description = "A page of API keys.", body = ApiKeyPage)),
    extensions(("x-permission" = json!("api-keys:read"))),
)]
#[get("/v1/api-keys")]
async fn list_api_keys(
    can: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<ApiKeyFilter>,
) -> Answer {
    let page = can.run(async move |ctx| api_keys::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&ApiKeyPage::from(page))
}

/// Create an API key
///
/// The key is in this answer and never shown again. Its scopes are permissions that you have yourself,
/// or `*` for all of yours; it never holds more than you do at the time of a call. `agentIds` limits it to
/// some agents and what is of them, `ipAllowList` to some networks: elsewhere it is refused with 403
/// `address_not_allowed`. Managers and above may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "create_api_key",
    request_body(content = CreateApiKey, example = json!({"name": "Nightly import", "scopes": ["task-runs:read", "task-runs:write"]})),
    responses((status = 201, description = "The new API key with its secret.", body = CreatedApiKey, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("api-keys:write"))),
)]
#[post("/v1/api-keys")]
async fn create_api_key(can: Can<Write>, Json(create): Json<CreateApiKey>) -> Answer {
    let created = can.run(async move |ctx| api_keys::create(&ctx, create).await).await?;
    let ApiKeyView { id, revision, .. } = created.api_key;
    answer::created_tagged(format!("/v1/api-keys/{id}"), &created, revision)
}

/// Get an API key
///
/// Without its secret. Managers and above may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "get_api_key",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The API key.", body = ApiKeyView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("api-keys:read"))),
)]
#[get("/v1/api-keys/{id}")]
async fn get_api_key(can: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| api_keys::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change an API key
///
/// Its name, metadata and `ipAllowList` (people only); scopes, agents and expiry are fixed when it is made.
/// Managers and above may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "update_api_key",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateApiKey, example = json!({"name": "Nightly import, old", "metadata": {"team": "data"}})),
    responses((status = 200, description = "The changed API key.", body = ApiKeyView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("api-keys:write"))),
)]
#[patch("/v1/api-keys/{id}")]
async fn update_api_key(
    can: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateApiKey>,
) -> Answer {
    let view = can.run(async move |ctx| api_keys::update(&ctx, id, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Rotate an API key
///
/// Gives the key a new secret, in this answer and never shown again. The old one works for the overlap that
/// is asked for, an hour by default and at most a week; one from an earlier rotation ends at once. Scopes,
/// limits and expiry stay. A key may rotate itself, never another. Managers and above may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "rotate_api_key",
    params(("id" = Uuid, Path)),
    request_body(content = RotateApiKey, example = json!({"overlapSeconds": 86400})),
    responses((status = 200, description = "The API key with its new secret.", body = CreatedApiKey, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("api-keys:write"))),
)]
#[post("/v1/api-keys/{id}/rotate")]
async fn rotate_api_key(can: Can<Write>, Path(id): Path<Uuid>, Json(rotate): Json<RotateApiKey>) -> Answer {
    let rotated = can.run(async move |ctx| api_keys::rotate(&ctx, id, rotate).await).await?;
    answer::tagged(&rotated, rotated.api_key.revision)
}

/// Revoke an API key
///
/// It is refused within a second and stays listed with `revokedAt`. Managers and above may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "delete_api_key",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked.")),
    extensions(("x-permission" = json!("api-keys:write"))),
)]
#[delete("/v1/api-keys/{id}")]
async fn delete_api_key(can: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    can.run(async move |ctx| api_keys::revoke(&ctx, id, expected).await).await?;
    answer::no_content()
}
