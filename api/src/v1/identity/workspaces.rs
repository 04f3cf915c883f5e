//! `/v1/workspaces`: projects inside the tenant.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::workspaces::{Read, Write};
use service::crud::Paging;
use service::identity::workspaces::{
    self, CreateWorkspace, MoveToWorkspace, MovedToWorkspace, UpdateWorkspace, WorkspaceFilter,
    WorkspacePage, WorkspaceView,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_workspaces)
        .service(create_workspace)
        .service(get_workspace)
        .service(update_workspace)
        .service(delete_workspace)
        .service(archive_workspace)
        .service(unarchive_workspace)
        .service(transfer_to_workspace)
        .service(release_from_workspace);
}

/// List workspaces
///
/// Those that you see: `SHARED` ones, and `STRICT` ones of whose team you are. Admins and owners see all of
/// them here; what belongs to a `STRICT` one they see as its team only. Every member may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "list_workspaces",
    params(Paging, WorkspaceFilter),
    responses((status = 200, description = "A page of workspaces.", body = WorkspacePage)),
    extensions(("x-permission" = json!("workspaces:read"))),
)]
#[get("/v1/workspaces")]
async fn list_workspaces(
    can: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<WorkspaceFilter>,
) -> Answer {
    let page = can.run(async move |ctx| workspaces::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&WorkspacePage::from(page))
}

/// Create a workspace
///
/// You are the first of its team, with the role that you have. Managers and above may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "create_workspace",
    request_body(content = CreateWorkspace, example = json!({"name": "Support", "isolation": "STRICT"})),
    responses((status = 201, description = "The new workspace.", body = WorkspaceView, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[post("/v1/workspaces")]
async fn create_workspace(can: Can<Write>, Json(create): Json<CreateWorkspace>) -> Answer {
    let view = can.run(async move |ctx| workspaces::create(&ctx, create).await).await?;
    answer::created_tagged(format!("/v1/workspaces/{}", view.id), &view, view.revision)
}

/// Get a workspace
///
/// Every member may who sees it.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "get_workspace",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The workspace.", body = WorkspaceView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("workspaces:read"))),
)]
#[get("/v1/workspaces/{id}")]
async fn get_workspace(can: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workspaces::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change a workspace
///
/// Making it `STRICT` acts on live sessions, keys and streams within a second; who is no administrator has to be
/// of its team for that. Managers and above may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "update_workspace",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateWorkspace, example = json!({"isolation": "STRICT"})),
    responses((status = 200, description = "The changed workspace.", body = WorkspaceView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[patch("/v1/workspaces/{id}")]
async fn update_workspace(
    can: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateWorkspace>,
) -> Answer {
    let view = can.run(async move |ctx| workspaces::update(&ctx, id, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Delete a workspace
///
/// Only when no agent, tool or task definition belongs to it. Its team ends, its keys are revoked and its slug
/// is free at once. Its runs stay until retention removes them; those of a `STRICT` one are seen by nobody.
/// Managers and above may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "delete_workspace",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[delete("/v1/workspaces/{id}")]
async fn delete_workspace(can: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    can.run(async move |ctx| workspaces::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Archive a workspace
///
/// Nothing new is made in it or run from it until it is unarchived; runs that were accepted go on to their end.
/// Managers and above may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "archive_workspace",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The archived workspace.", body = WorkspaceView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[post("/v1/workspaces/{id}/archive")]
async fn archive_workspace(can: Can<Write>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workspaces::archive(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Unarchive a workspace
///
/// Managers and above may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "unarchive_workspace",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The workspace.", body = WorkspaceView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[post("/v1/workspaces/{id}/unarchive")]
async fn unarchive_workspace(can: Can<Write>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workspaces::unarchive(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Move resources into a workspace
///
/// Agents, tools and task definitions, all of them or none, from wherever each is. What they use, and what uses
/// them, has to be moved along or be there already; what they use may also belong to no workspace. Runs stay
/// where they were made. Managers and above may, of the team of both places where those are `STRICT`.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "transfer_to_workspace",
    params(("id" = Uuid, Path)),
    request_body(content = MoveToWorkspace, example = json!({"agentIds": ["0199a000-0000-7000-8000-000000000001"]})),
    responses((status = 200, description = "What was moved.", body = MovedToWorkspace)),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[post("/v1/workspaces/{id}/transfer")]
async fn transfer_to_workspace(
    can: Can<Write>,
    Path(id): Path<Uuid>,
    Json(what): Json<MoveToWorkspace>,
) -> Answer {
    answer::ok(&can.run(async move |ctx| workspaces::transfer(&ctx, id, what).await).await?)
}

/// Move resources out of a workspace
///
/// Agents, tools and task definitions, all of them or none: they belong to no workspace then, and every member
/// sees them. What they use has to be moved along. Managers and above may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "release_from_workspace",
    params(("id" = Uuid, Path)),
    request_body(content = MoveToWorkspace, example = json!({"agentIds": ["0199a000-0000-7000-8000-000000000001"]})),
    responses((status = 200, description = "What was moved.", body = MovedToWorkspace)),
    extensions(("x-permission" = json!("workspaces:write"))),
)]
#[post("/v1/workspaces/{id}/release")]
async fn release_from_workspace(
    can: Can<Write>,
    Path(id): Path<Uuid>,
    Json(what): Json<MoveToWorkspace>,
) -> Answer {
    answer::ok(&can.run(async move |ctx| workspaces::release(&ctx, id, what).await).await?)
}
