//! `/v1/agents`: define agents, pause and resume them.

use actix_web::{delete, get, patch, post};
use service::agents::agent_views::{AgentFilter, AgentPage, AgentView, CreateAgent, PauseAgent, UpdateAgent};
use service::agents::agents;
use service::auth::permissions::agents::{Operate, Read, Write};
use service::crud::Paging;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, OptionalJson, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_agents)
        .service(create_agent)
        .service(get_agent)
        .service(update_agent)
        .service(delete_agent)
        .service(pause_agent)
        .service(resume_agent);
}

/// List agents
///
/// The tenant's agents, newest first. Every member may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "list_agents",
    params(Paging, AgentFilter),
    responses((status = 200, description = "One page.", body = AgentPage)),
    extensions(("x-permission" = json!("agents:read"))),
)]
#[get("/v1/agents")]
async fn list_agents(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<AgentFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| agents::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&AgentPage::from(page))
}

/// Create an agent
///
/// The agent is ACTIVE and has version 1. The `mock/*` models need no provider: `mock/echo`, `mock/tools`,
/// `mock/script`, `mock/flaky`. Managers and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "create_agent",
    request_body(content = CreateAgent, example = json!({
        "name": "Support",
        "type": "CHATBOT",
        "model": "mock/echo",
        "systemPrompt": "You help customers of a bicycle shop.",
    })),
    responses(
        (status = 201, description = "The new agent.", body = AgentView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[post("/v1/agents")]
async fn create_agent(caller: Can<Write>, Json(body): Json<CreateAgent>) -> Answer {
    let created = caller.run(async move |ctx| agents::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/agents/{}", created.id), &created, created.revision)
}

/// Get an agent
///
/// The agent as it is now. Every member may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "get_agent",
    params(("id" = Uuid, Path, description = "The agent.")),
    responses((status = 200, description = "The agent.", body = AgentView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("agents:read"))),
)]
#[get("/v1/agents/{id}")]
async fn get_agent(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| agents::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change an agent
///
/// A merge patch. A change of behaviour makes a new version, which new runs use; a change of name, slug,
/// metadata or `maxConcurrent` makes none. Managers and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "update_agent",
    params(("id" = Uuid, Path, description = "The agent.")),
    request_body(content = UpdateAgent, example = json!({"systemPrompt": "You help customers of a bookshop.", "limits": {"maxSteps": 10}})),
    responses((status = 200, description = "The agent as it is now.", body = AgentView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[patch("/v1/agents/{id}")]
async fn update_agent(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateAgent>,
) -> Answer {
    let updated = caller.run(async move |ctx| agents::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete an agent
///
/// Its slug is free at once; its runs stay. One that a task definition names is 409 `in_use`. Managers and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "delete_agent",
    params(("id" = Uuid, Path, description = "The agent.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[delete("/v1/agents/{id}")]
async fn delete_agent(caller: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    caller.run(async move |ctx| agents::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Pause an agent
///
/// ACTIVE becomes PAUSED: its queued runs wait until it is resumed. From any other status it is 409
/// `invalid_transition`. Operators and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "pause_agent",
    params(("id" = Uuid, Path, description = "The agent.")),
    request_body(content = Option<PauseAgent>, example = json!({"reason": "The shop is closed."})),
    responses((status = 200, description = "The paused agent.", body = AgentView)),
    extensions(("x-permission" = json!("agents:operate"))),
)]
#[post("/v1/agents/{id}/pause")]
async fn pause_agent(
    caller: Can<Operate>,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<PauseAgent>,
) -> Answer {
    let paused = caller.run(async move |ctx| agents::pause(&ctx, id, body).await).await?;
    answer::tagged(&paused, paused.revision)
}

/// Resume an agent
///
/// PAUSED or QUARANTINED becomes ACTIVE. From ACTIVE it is 409 `invalid_transition`. Operators and higher
/// roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "resume_agent",
    params(("id" = Uuid, Path, description = "The agent.")),
    responses((status = 200, description = "The active agent.", body = AgentView)),
    extensions(("x-permission" = json!("agents:operate"))),
)]
#[post("/v1/agents/{id}/resume")]
async fn resume_agent(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let resumed = caller.run(async move |ctx| agents::resume(&ctx, id).await).await?;
    answer::tagged(&resumed, resumed.revision)
}
