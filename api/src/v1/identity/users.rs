//! `/v1/users`: every person, for administrators of the platform.

use actix_web::{get, post};
use service::auth::permissions::platform::Users;
use service::crud::Paging;
use service::identity::users::{self, UserFilter, UserPage, UserView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_users).service(get_user).service(deactivate_user).service(reactivate_user);
}

/// List people
///
/// Everybody on the platform but those who deleted themselves or were erased. Administrators of the platform may.
#[utoipa::path(
    tag = "Account",
    operation_id = "list_users",
    params(Paging, UserFilter),
    responses((status = 200, description = "A page of people.", body = UserPage)),
    extensions(("x-permission" = json!("platform:users"))),
)]
#[get("/v1/users")]
async fn list_users(
    can: Can<Users>,
    Query(paging): Query<Paging>,
    Query(filter): Query<UserFilter>,
) -> Answer {
    let page = can.run(async move |ctx| users::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&UserPage::from(page))
}

/// Get a person
///
/// Administrators of the platform may; everybody reads their own account at `/v1/me`.
#[utoipa::path(
    tag = "Account",
    operation_id = "get_user",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The person.", body = UserView)),
    extensions(("x-permission" = json!("platform:users"))),
)]
#[get("/v1/users/{id}")]
async fn get_user(can: Can<Users>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&can.run(async move |ctx| users::get(&ctx, id).await).await?)
}

/// Deactivate a person
///
/// Ends their sessions, the API keys that they made, and the invitations that they sent, in every tenant and
/// within a second; they cannot sign in until they are reactivated. Their memberships stay, and what waits for
/// an approval is decided by the others of their tenants. A mail tells them. The last owner of a tenant and
/// oneself cannot be deactivated; somebody who is already is answered as they are. Administrators of the
/// platform may.
#[utoipa::path(
    tag = "Account",
    operation_id = "deactivate_user",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The person, who may not act.", body = UserView)),
    extensions(("x-permission" = json!("platform:users"))),
)]
#[post("/v1/users/{id}/deactivate")]
async fn deactivate_user(can: Can<Users>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&can.run(async move |ctx| users::deactivate(&ctx, id).await).await?)
}

/// Reactivate a person
///
/// They can sign in again, with the password that they had; sessions and API keys that ended stay so. A mail
/// tells them. Somebody who is active is answered as they are. Administrators of the platform may.
#[utoipa::path(
    tag = "Account",
    operation_id = "reactivate_user",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The person, who may act.", body = UserView)),
    extensions(("x-permission" = json!("platform:users"))),
)]
#[post("/v1/users/{id}/reactivate")]
async fn reactivate_user(can: Can<Users>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&can.run(async move |ctx| users::reactivate(&ctx, id).await).await?)
}
