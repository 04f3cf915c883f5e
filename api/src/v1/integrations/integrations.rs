//! `/v1/integrations`: connections to model providers and other systems.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::integrations::{Read, Test, Write};
use service::crud::Paging;
use service::integrations::integrations::{
    self, CreateIntegration, IntegrationFilter, IntegrationPage, IntegrationTest, IntegrationView,
    UpdateIntegration,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_integrations)
        .service(create_integration)
        .service(get_integration)
        .service(update_integration)
        .service(delete_integration)
        .service(test_integration);
}

/// List integrations
///
/// Connections to other systems, without their credentials. Managers and higher roles may.
#[utoipa::path(
    tag = "Integrations",
    operation_id = "list_integrations",
    params(Paging, IntegrationFilter),
    responses((status = 200, description = "One page.", body = IntegrationPage)),
    extensions(("x-permission" = json!("integrations:read"))),
)]
#[get("/v1/integrations")]
async fn list_integrations(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<IntegrationFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| integrations::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&IntegrationPage::from(page))
}

/// Create an integration
///
/// Credentials are sealed, shown in no answer, and bound to the hosts that the integration names now: the
/// base URL's, or `allowedHosts`. An agent uses a model provider as its `providerId`; an API tool uses a
/// GENERIC_HTTP integration in `config.secrets`. Administrators and owners may.
#[utoipa::path(
    tag = "Integrations",
    operation_id = "create_integration",
    request_body(content = CreateIntegration, example = json!({
        "name": "Local models",
        "type": "LLM_OPENAI_COMPATIBLE",
        "config": {"baseUrl": "https://models.example.com/v1"},
        "credentials": {"apiKey": "sk-example"},
        "rateLimit": {"perMinute": 500},
    })),
    responses(
        (status = 201, description = "The new integration.", body = IntegrationView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("integrations:write"))),
)]
#[post("/v1/integrations")]
async fn create_integration(caller: Can<Write>, Json(body): Json<CreateIntegration>) -> Answer {
    let created = caller.run(async move |ctx| integrations::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/integrations/{}", created.id), &created, created.revision)
}

/// Get an integration
///
/// The integration as it is now. Managers and higher roles may.
#[utoipa::path(
    tag = "Integrations",
    operation_id = "get_integration",
    params(("id" = Uuid, Path, description = "The integration.")),
    responses((status = 200, description = "The integration.", body = IntegrationView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("integrations:read"))),
)]
#[get("/v1/integrations/{id}")]
async fn get_integration(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| integrations::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change an integration
///
/// A merge patch. Changing where credentials may go needs the credentials again. Administrators and owners may.
#[utoipa::path(
    tag = "Integrations",
    operation_id = "update_integration",
    params(("id" = Uuid, Path, description = "The integration.")),
    request_body(content = UpdateIntegration, example = json!({"name": "Our models"})),
    responses((status = 200, description = "The integration as it is now.", body = IntegrationView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("integrations:write"))),
)]
#[patch("/v1/integrations/{id}")]
async fn update_integration(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateIntegration>,
) -> Answer {
    let updated = caller.run(async move |ctx| integrations::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete an integration
///
/// Its name is free at once. One that an agent uses is 409 `in_use`. Administrators and owners may.
#[utoipa::path(
    tag = "Integrations",
    operation_id = "delete_integration",
    params(("id" = Uuid, Path, description = "The integration.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("integrations:write"))),
)]
#[delete("/v1/integrations/{id}")]
async fn delete_integration(caller: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    caller.run(async move |ctx| integrations::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Test an integration
///
/// Asks the model provider for its models, for at most 20 seconds, and keeps the outcome as `status`,
/// `lastCheckedAt` and `lastError`. A provider that refuses is still 200. Managers and higher roles may.
#[utoipa::path(
    tag = "Integrations",
    operation_id = "test_integration",
    params(("id" = Uuid, Path, description = "The integration.")),
    responses((status = 200, description = "What the provider said.", body = IntegrationTest)),
    extensions(("x-permission" = json!("integrations:test"))),
)]
#[post("/v1/integrations/{id}/test")]
async fn test_integration(caller: Can<Test>, Path(id): Path<Uuid>) -> Answer {
    let tested = caller.run(async move |ctx| integrations::test(&ctx, id).await).await?;
    answer::tagged(&tested, tested.integration.revision)
}
