//! `/v1/me`: the signed-in person across tenants.

use actix_web::{get, post};
use service::crud::Paging;
use service::identity::memberships::{self, MyMembershipPage, MyMembershipView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Authenticated, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_my_memberships).service(accept_my_membership);
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
