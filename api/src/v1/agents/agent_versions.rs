//! `/v1/agents/{id}/versions`: what an agent did, and going back to it.

use actix_web::{get, patch, post};
use service::agents::agent_versions::{
    self, AgentVersionDetail, AgentVersionDiff, AgentVersionPage, AgentVersionView, DiffParams,
    UpdateAgentVersion,
};
use service::agents::agent_views::AgentView;
use service::auth::permissions::agents::{Read, Write};
use service::crud::Paging;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_agent_versions)
        .service(get_agent_version)
        .service(update_agent_version)
        .service(diff_agent_version)
        .service(activate_agent_version);
}

/// List an agent's versions
///
/// Newest first, without their snapshots. Every member may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "list_agent_versions",
    params(("id" = Uuid, Path, description = "The agent."), Paging),
    responses((status = 200, description = "One page.", body = AgentVersionPage)),
    extensions(("x-permission" = json!("agents:read"))),
)]
#[get("/v1/agents/{id}/versions")]
async fn list_agent_versions(
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(paging): Query<Paging>,
) -> Answer {
    let page = caller.run(async move |ctx| agent_versions::list(&ctx, id, &paging).await).await?;
    answer::ok(&AgentVersionPage::from(page))
}

/// Get a version of an agent
///
/// With the behaviour that it stands for, tools included. Every member may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "get_agent_version",
    params(
        ("id" = Uuid, Path, description = "The agent."),
        ("number" = i32, Path, description = "The version's number.", minimum = 1),
    ),
    responses((status = 200, description = "The version.", body = AgentVersionDetail,
        headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("agents:read"))),
)]
#[get("/v1/agents/{id}/versions/{number}")]
async fn get_agent_version(caller: Can<Read>, Path((id, number)): Path<(Uuid, i32)>) -> Answer {
    let found = caller.run(async move |ctx| agent_versions::get(&ctx, id, number).await).await?;
    answer::tagged(&found, found.version.revision)
}

/// Annotate a version of an agent
///
/// Its behaviour is immutable; its note and labels are not. Managers and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "update_agent_version",
    params(
        ("id" = Uuid, Path, description = "The agent."),
        ("number" = i32, Path, description = "The version's number.", minimum = 1),
    ),
    request_body(
        content = UpdateAgentVersion,
        example = json!({"note": "Shorter answers.", "labels": ["stable"]}),
    ),
    responses((status = 200, description = "The version.", body = AgentVersionView,
        headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[patch("/v1/agents/{id}/versions/{number}")]
async fn update_agent_version(
    caller: Can<Write>,
    Path((id, number)): Path<(Uuid, i32)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateAgentVersion>,
) -> Answer {
    let work = async move |ctx| agent_versions::update(&ctx, id, number, expected, body).await;
    let updated = caller.run(work).await?;
    answer::tagged(&updated, updated.revision)
}

/// Compare two versions of an agent
///
/// What changed from version `against` (the one before, when absent) to this one. Every member may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "diff_agent_version",
    params(
        ("id" = Uuid, Path, description = "The agent."),
        ("number" = i32, Path, description = "The version's number.", minimum = 1),
        DiffParams,
    ),
    responses((status = 200, description = "The changes.", body = AgentVersionDiff)),
    extensions(("x-permission" = json!("agents:read"))),
)]
#[get("/v1/agents/{id}/versions/{number}/diff")]
async fn diff_agent_version(
    caller: Can<Read>,
    Path((id, number)): Path<(Uuid, i32)>,
    Query(params): Query<DiffParams>,
) -> Answer {
    let diff = caller.run(async move |ctx| agent_versions::diff(&ctx, id, number, &params).await).await?;
    answer::ok(&diff)
}

/// Activate a version of an agent
///
/// The agent behaves as that version did, its provider and tools included, and new runs use it; running
/// ones keep theirs. Where a tool or the provider of the version is gone, it is 409
/// `version_not_usable`. Managers and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "activate_agent_version",
    params(
        ("id" = Uuid, Path, description = "The agent."),
        ("number" = i32, Path, description = "The version's number.", minimum = 1),
    ),
    responses((status = 200, description = "The agent.", body = AgentView,
        headers(("ETag" = String, description = "The agent's revision.")))),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[post("/v1/agents/{id}/versions/{number}/activate")]
async fn activate_agent_version(caller: Can<Write>, Path((id, number)): Path<(Uuid, i32)>) -> Answer {
    let agent = caller.run(async move |ctx| agent_versions::activate(&ctx, id, number).await).await?;
    answer::tagged(&agent, agent.revision)
}
