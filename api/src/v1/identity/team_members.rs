//! `/v1/team-members`: who works in which workspace.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::team_members::{Read, Write};
use service::crud::Paging;
use service::identity::team_members::{
    self, CreateTeamMember, TeamMemberFilter, TeamMemberPage, TeamMemberView, UpdateTeamMember,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_team_members)
        .service(create_team_member)
        .service(get_team_member)
        .service(update_team_member)
        .service(delete_team_member);
}

/// List team members
///
/// Of all workspaces that you see, or of one. Every member may.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "list_team_members",
    params(Paging, TeamMemberFilter),
    responses((status = 200, description = "A page of team members.", body = TeamMemberPage)),
    extensions(("x-permission" = json!("team-members:read"))),
)]
#[get("/v1/team-members")]
async fn list_team_members(
    can: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<TeamMemberFilter>,
) -> Answer {
    let page = can.run(async move |ctx| team_members::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&TeamMemberPage::from(page))
}

/// Add a person to a team
///
/// A member of the tenant, with a role that is no more than their membership's. They see what belongs to the
/// workspace at once. Managers and above may; nobody gives a role that may do more than they may themselves.
/// Admins and owners may add anybody to any team, themselves too.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "create_team_member",
    request_body(content = CreateTeamMember, example = json!({"workspaceId": "0199a000-0000-7000-8000-000000000001", "userId": "0199a000-0000-7000-8000-000000000002", "role": "OPERATOR"})),
    responses((status = 201, description = "The new team member.", body = TeamMemberView, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("team-members:write"))),
)]
#[post("/v1/team-members")]
async fn create_team_member(can: Can<Write>, Json(create): Json<CreateTeamMember>) -> Answer {
    let view = can.run(async move |ctx| team_members::create(&ctx, create).await).await?;
    answer::created_tagged(format!("/v1/team-members/{}", view.id), &view, view.revision)
}

/// Get a team member
///
/// Every member may who sees the workspace.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "get_team_member",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The team member.", body = TeamMemberView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("team-members:read"))),
)]
#[get("/v1/team-members/{id}")]
async fn get_team_member(can: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| team_members::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change a team member
///
/// Their role, skills or availability. A role acts on live sessions and keys within a second. Managers and above
/// may, over roles that may do no more than they may themselves.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "update_team_member",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateTeamMember, example = json!({"availability": "AWAY"})),
    responses((status = 200, description = "The changed team member.", body = TeamMemberView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("team-members:write"))),
)]
#[patch("/v1/team-members/{id}")]
async fn update_team_member(
    can: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateTeamMember>,
) -> Answer {
    let view = can.run(async move |ctx| team_members::update(&ctx, id, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Remove a person from a team
///
/// What belongs to a `STRICT` workspace is hidden from their sessions and keys within a second. Managers and
/// above may, over roles that may do no more than they may themselves.
#[utoipa::path(
    tag = "Workspaces",
    operation_id = "delete_team_member",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed.")),
    extensions(("x-permission" = json!("team-members:write"))),
)]
#[delete("/v1/team-members/{id}")]
async fn delete_team_member(can: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    can.run(async move |ctx| team_members::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}
