//! `/v1/memberships`: who belongs to the current tenant.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::memberships::{Read, Write};
use service::crud::Paging;
use service::identity::memberships::{
    self, CreateMembership, MembershipFilter, MembershipPage, MembershipView, UpdateMembership,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_memberships)
        .service(create_membership)
        .service(get_membership)
        .service(update_membership)
        .service(delete_membership);
}

/// List the members
///
/// Who belongs to the current tenant, and who is invited. Every member may.
#[utoipa::path(
    tag = "Members",
    operation_id = "list_memberships",
    params(Paging, MembershipFilter),
    responses((status = 200, description = "A page of memberships.", body = MembershipPage)),
    extensions(("x-permission" = json!("memberships:read"))),
)]
#[get("/v1/memberships")]
async fn list_memberships(
    can: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<MembershipFilter>,
) -> Answer {
    let page = can.run(async move |ctx| memberships::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&MembershipPage::from(page))
}

/// Add a person
///
/// The membership is `INVITED` and the answer the same, whether or not the platform knew the e-mail.
/// A person who is new gets the given name and password, and accepts by signing in for the first time;
/// one who is known keeps theirs and accepts with `POST /v1/me/memberships/{id}/accept`. Admins and
/// owners may; nobody gives a role that may do more than they may themselves.
#[utoipa::path(
    tag = "Members",
    operation_id = "create_membership",
    request_body(content = CreateMembership, example = json!({"email": "grace@example.org", "role": "MANAGER", "name": "Grace Hopper", "password": "a ship in port is safe"})),
    responses((status = 201, description = "The new membership.", body = MembershipView, headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("memberships:write"))),
)]
#[post("/v1/memberships")]
async fn create_membership(can: Can<Write>, Json(create): Json<CreateMembership>) -> Answer {
    let view = can.run(async move |ctx| memberships::create(&ctx, create).await).await?;
    answer::created_tagged(format!("/v1/memberships/{}", view.id), &view, view.revision)
}

/// Get a membership
///
/// Where a person stands in the current tenant. Every member may.
#[utoipa::path(
    tag = "Members",
    operation_id = "get_membership",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The membership.", body = MembershipView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("memberships:read"))),
)]
#[get("/v1/memberships/{id}")]
async fn get_membership(can: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| memberships::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change a membership
///
/// Its role, or its status to `ACTIVE` or `SUSPENDED`. It acts on live sessions and keys within a
/// second. The last active owner stays one. Admins and owners may, over roles that may do no more than
/// they may themselves.
#[utoipa::path(
    tag = "Members",
    operation_id = "update_membership",
    params(("id" = Uuid, Path)),
    request_body(content = UpdateMembership, example = json!({"role": "ADMIN"})),
    responses((status = 200, description = "The changed membership.", body = MembershipView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("memberships:write"))),
)]
#[patch("/v1/memberships/{id}")]
async fn update_membership(
    can: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateMembership>,
) -> Answer {
    let view = can.run(async move |ctx| memberships::update(&ctx, id, expected, update).await).await?;
    answer::tagged(&view, view.revision)
}

/// Remove a member
///
/// Ends the membership, or takes an invitation back. The person's sessions and keys in this tenant stop
/// working within a second. The last active owner cannot be removed. Admins and owners may, over roles
/// that may do no more than they may themselves.
#[utoipa::path(
    tag = "Members",
    operation_id = "delete_membership",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed.")),
    extensions(("x-permission" = json!("memberships:write"))),
)]
#[delete("/v1/memberships/{id}")]
async fn delete_membership(can: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    can.run(async move |ctx| memberships::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}
