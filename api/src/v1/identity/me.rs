//! `/v1/me`: the signed-in person's own account, across tenants. An API key has none.

use actix_web::{delete, get, patch, post};
use service::crud::{Paging, UNREVISED};
use service::identity::me::{
    self, AcceptDocument, ChangePassword, DeleteMe, MeView, MyDataView, MySessionPage, UpdateMe,
};
use service::identity::memberships::{self, MyMembershipPage, MyMembershipView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Authenticated, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(get_me)
        .service(update_me)
        .service(change_my_password)
        .service(accept_document)
        .service(delete_me)
        .service(export_my_data)
        .service(list_my_sessions)
        .service(end_my_session)
        .service(list_my_memberships)
        .service(accept_my_membership);
}

/// Get my account
///
/// Every signed-in person may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "get_me",
    responses((status = 200, description = "My account.", body = MeView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/me")]
async fn get_me(caller: Authenticated) -> Answer {
    let view = caller.run(async move |ctx, _| me::get(&ctx).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change my account
///
/// Name, picture, and the tenant that is entered when none is named. Every signed-in person may; an API
/// key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "update_me",
    request_body(content = UpdateMe, example = json!({"name": "Ada Lovelace", "image": null})),
    responses((status = 200, description = "My changed account.", body = MeView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[patch("/v1/me")]
async fn update_me(
    caller: Authenticated,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateMe>,
) -> Answer {
    let view = caller.run(async move |ctx, _| me::update(&ctx, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change my password
///
/// Ends my other sessions; a mail tells of it. Wrong guesses are counted with those of signing in. Who has no
/// password yet chooses one within ten minutes of signing in. Every signed-in person may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "change_my_password",
    request_body(content = ChangePassword, example = json!({"currentPassword": "correct horse battery", "newPassword": "a ship in port is safe"})),
    responses((status = 204, description = "The password is changed.")),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/password")]
async fn change_my_password(caller: Authenticated, Json(change): Json<ChangePassword>) -> Answer {
    caller.run(async move |ctx, _| me::change_password(&ctx, change).await).await?;
    answer::no_content()
}

/// Agree to the terms or the privacy notice
///
/// Writes down which version was accepted, and when; `consents` of my account shows it. The same version again
/// changes nothing. Every signed-in person may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "accept_document",
    request_body(content = AcceptDocument, example = json!({"document": "TERMS", "version": "2026-11"})),
    responses((status = 200, description = "My account.", body = MeView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/consents")]
async fn accept_document(caller: Authenticated, Json(accept): Json<AcceptDocument>) -> Answer {
    let view = caller.run(async move |ctx, _| me::accept(&ctx, accept).await).await?;
    answer::tagged(&view, view.revision)
}

/// Delete my account
///
/// For good: ends every membership, session and key, and forgets name, address and picture. The last
/// owner of a tenant and the last administrator of the platform cannot leave. Every signed-in person may
/// with their password or, without one, within ten minutes of signing in; an API key may not. It takes no
/// `Idempotency-Key`: sent again it is a 401, because the session is gone.
#[utoipa::path(
    tag = "Account",
    operation_id = "delete_me",
    request_body(content = DeleteMe, example = json!({"password": "correct horse battery"})),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/delete")]
async fn delete_me(caller: Authenticated, Json(delete): Json<DeleteMe>) -> Answer {
    caller.run(async move |ctx, _| me::delete(&ctx, delete).await).await?;
    answer::no_content()
}

/// Take my data along
///
/// What the platform keeps about me, without secrets: profile, memberships, sessions, devices, linked accounts,
/// keys, mails and notifications, of each the newest 2,000; `incomplete` names the lists that are longer. Every
/// signed-in person may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "export_my_data",
    responses((status = 200, description = "My data.", body = MyDataView)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/me/export")]
async fn export_my_data(caller: Authenticated) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| me::export(&ctx).await).await?)
}

/// List my devices
///
/// Where I am signed in, the last seen first: never more than 50. Every signed-in person may; an API key
/// may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "list_my_sessions",
    responses((status = 200, description = "My live sessions.", body = MySessionPage)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/me/sessions")]
async fn list_my_sessions(caller: Authenticated) -> Answer {
    let page = caller.run(async move |ctx, _| me::list_sessions(&ctx).await).await?;
    answer::ok(&MySessionPage::from(page))
}

/// Sign a device out
///
/// All tokens of the session stop working within a second. Every signed-in person may; an API key may
/// not.
#[utoipa::path(
    tag = "Account",
    operation_id = "end_my_session",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Signed out.")),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[delete("/v1/me/sessions/{id}")]
async fn end_my_session(caller: Authenticated, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    expected.check(UNREVISED)?;
    caller.run(async move |ctx, _| me::end_session(&ctx, id).await).await?;
    answer::no_content()
}

/// List the tenants I belong to
///
/// Every place of the signed-in person, with the tenant, invitations too. To act in another tenant,
/// refresh with its `tenantId`. Every signed-in person may ask; an API key belongs to one tenant and
/// may not.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "list_my_memberships",
    params(Paging),
    responses((status = 200, description = "A page of my memberships.", body = MyMembershipPage)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/me/memberships")]
async fn list_my_memberships(caller: Authenticated, Query(paging): Query<Paging>) -> Answer {
    let page = caller.run(async move |ctx, _| memberships::list_mine(&ctx, &paging).await).await?;
    answer::ok(&MyMembershipPage::from(page))
}

/// Accept an invitation
///
/// The membership becomes `ACTIVE`; one that is already stays so. Only the person invited may, with a
/// session.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "accept_my_membership",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The membership.", body = MyMembershipView)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/memberships/{id}/accept")]
async fn accept_my_membership(caller: Authenticated, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| memberships::accept(&ctx, id).await).await?)
}
