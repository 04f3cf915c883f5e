//! `/v1/approvals`: the decisions that runs wait for.

use actix_web::{get, post};
use service::auth::permissions::approvals::{Decide, Read};
use service::crud::Paging;
use service::tasks::approvals::{self, ApprovalFilter, ApprovalPage, ApprovalView, DecideApproval};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_approvals).service(get_approval).service(decide_approval);
}

/// List approvals
///
/// The tenant's inbox: what runs wait for, and what was decided. Every member may.
#[utoipa::path(
    tag = "Approvals",
    operation_id = "list_approvals",
    params(Paging, ApprovalFilter),
    responses((status = 200, description = "One page.", body = ApprovalPage)),
    extensions(("x-permission" = json!("approvals:read"))),
)]
#[get("/v1/approvals")]
async fn list_approvals(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<ApprovalFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| approvals::list(&ctx, &paging, filter).await).await?;
    answer::ok(&ApprovalPage::from(page))
}

/// Get an approval
///
/// The question, and its decision if there is one. Every member may.
#[utoipa::path(
    tag = "Approvals",
    operation_id = "get_approval",
    params(("id" = Uuid, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalView)),
    extensions(("x-permission" = json!("approvals:read"))),
)]
#[get("/v1/approvals/{id}")]
async fn get_approval(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let approval = caller.run(async move |ctx| approvals::get(&ctx, id).await).await?;
    answer::ok(&approval)
}

/// Decide an approval
///
/// The first decision wins; a later one is 409. An approved call may be given other arguments. Once none
/// of its questions is open, the run goes on through the queue. Operators and higher roles may.
#[utoipa::path(
    tag = "Approvals",
    operation_id = "decide_approval",
    params(("id" = Uuid, Path, description = "The approval.")),
    request_body = DecideApproval,
    responses((status = 200, description = "The decided approval.", body = ApprovalView)),
    extensions(("x-permission" = json!("approvals:decide"))),
)]
#[post("/v1/approvals/{id}/decide")]
async fn decide_approval(
    caller: Can<Decide>,
    Path(id): Path<Uuid>,
    Json(body): Json<DecideApproval>,
) -> Answer {
    let approval = caller.run(async move |ctx| approvals::decide(&ctx, id, body).await).await?;
    answer::ok(&approval)
}
