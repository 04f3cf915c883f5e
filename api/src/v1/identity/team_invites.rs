//! `/v1/team-invites` for who invites, `/v1/auth/invites` for who is invited.

use actix_web::{delete, get, post};
use service::auth::permissions::team_invites::{Read, Write};
use service::crud::Paging;
use service::identity::team_invites::{
    self, AcceptInvite, CreateTeamInvite, InviteToken, InviteeView, TeamInviteFilter, TeamInvitePage,
    TeamInviteView,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Public, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_team_invites)
        .service(create_team_invite)
        .service(get_team_invite)
        .service(resend_team_invite)
        .service(delete_team_invite)
        .service(preview_invite)
        .service(accept_invite)
        .service(decline_invite);
}

/// List invitations
///
/// All of the tenant, answered and revoked ones too. Managers and above may.
#[utoipa::path(
    tag = "Members",
    operation_id = "list_team_invites",
    params(Paging, TeamInviteFilter),
    responses((status = 200, description = "A page of invitations.", body = TeamInvitePage)),
    extensions(("x-permission" = json!("team-invites:read"))),
)]
#[get("/v1/team-invites")]
async fn list_team_invites(
    can: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<TeamInviteFilter>,
) -> Answer {
    let page = can.run(async move |ctx| team_invites::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&TeamInvitePage::from(page))
}

/// Invite a person
///
/// Sends a mail with a token of seven days to the address; whoever reads it may join with this role. An
/// earlier invitation of the address is revoked. Admins and owners may; nobody offers a role that may do
/// more than they may themselves, and an offer ends with the right of who made it.
#[utoipa::path(
    tag = "Members",
    operation_id = "create_team_invite",
    request_body(content = CreateTeamInvite, example = json!({"email": "grace@example.org", "role": "MANAGER"})),
    responses((status = 201, description = "The new invitation.", body = TeamInviteView, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("team-invites:write"))),
)]
#[post("/v1/team-invites")]
async fn create_team_invite(can: Can<Write>, Json(create): Json<CreateTeamInvite>) -> Answer {
    let view = can.run(async move |ctx| team_invites::create(&ctx, create).await).await?;
    answer::created_tagged(format!("/v1/team-invites/{}", view.id), &view, view.revision)
}

/// Get an invitation
///
/// Without its token. Managers and above may.
#[utoipa::path(
    tag = "Members",
    operation_id = "get_team_invite",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The invitation.", body = TeamInviteView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("team-invites:read"))),
)]
#[get("/v1/team-invites/{id}")]
async fn get_team_invite(can: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| team_invites::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Send an invitation again
///
/// With another token and the whole time again; the old token ends. Admins and owners may, over roles
/// that may do no more than they may themselves.
#[utoipa::path(
    tag = "Members",
    operation_id = "resend_team_invite",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The invitation.", body = TeamInviteView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("team-invites:write"))),
)]
#[post("/v1/team-invites/{id}/resend")]
async fn resend_team_invite(can: Can<Write>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| team_invites::resend(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Take an invitation back
///
/// Its token ends; it stays listed as `REVOKED`. Admins and owners may, over roles that may do no more
/// than they may themselves.
#[utoipa::path(
    tag = "Members",
    operation_id = "delete_team_invite",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked.")),
    extensions(("x-permission" = json!("team-invites:write"))),
)]
#[delete("/v1/team-invites/{id}")]
async fn delete_team_invite(can: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    can.run(async move |ctx| team_invites::revoke(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// See an invitation
///
/// What the token of the mail offers, and whether accepting takes a password. Open to everybody who
/// reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "preview_invite",
    security(()),
    request_body(content = InviteToken, example = json!({"token": "mc_in_…"})),
    responses((status = 200, description = "What is offered.", body = InviteeView)),
)]
#[post("/v1/auth/invites/preview")]
async fn preview_invite(public: Public, Json(token): Json<InviteToken>) -> Answer {
    answer::ok(&public.run(async move |core, _| team_invites::preview(&core, &token).await).await?)
}

/// Accept an invitation by its token
///
/// Makes the membership, and the account where the address has none that was proved: with the given name
/// and password, and a verified address. Nobody is signed in by it. Of several uses at once one succeeds.
/// Open to everybody who reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "accept_invite",
    security(()),
    request_body(content = AcceptInvite, example = json!({"token": "mc_in_…", "name": "Grace Hopper", "password": "a ship in port is safe"})),
    responses((status = 200, description = "Joined: sign in.", body = InviteeView)),
)]
#[post("/v1/auth/invites/accept")]
async fn accept_invite(public: Public, Json(accept): Json<AcceptInvite>) -> Answer {
    let joined = public.run(async move |core, info| team_invites::accept(&core, accept, &info).await);
    answer::ok(&joined.await?)
}

/// Decline an invitation
///
/// The token ends. Open to everybody who reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "decline_invite",
    security(()),
    request_body(content = InviteToken, example = json!({"token": "mc_in_…"})),
    responses((status = 204, description = "Declined.")),
)]
#[post("/v1/auth/invites/decline")]
async fn decline_invite(public: Public, Json(token): Json<InviteToken>) -> Answer {
    public.run(async move |core, info| team_invites::decline(&core, &token, &info).await).await?;
    answer::no_content()
}
