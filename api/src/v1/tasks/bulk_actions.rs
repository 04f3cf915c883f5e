//! `/v1/bulk-actions`: cancel, retry or replay all runs that a filter matches.

use actix_web::{get, post};
use service::auth::permissions::bulk_actions::{Read, Write};
use service::crud::Paging;
use service::tasks::bulk_actions::{
    self, BulkActionFilter, BulkActionItemFilter, BulkActionItemPage, BulkActionPage, BulkActionView,
    CreateBulkAction,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_bulk_actions)
        .service(create_bulk_action)
        .service(get_bulk_action)
        .service(start_bulk_action)
        .service(abort_bulk_action)
        .service(list_bulk_action_items);
}

/// List bulk actions
///
/// The tenant's, newest first; those that ended are kept for thirty days. Every member may.
#[utoipa::path(
    tag = "Bulk actions",
    operation_id = "list_bulk_actions",
    params(Paging, BulkActionFilter),
    responses((status = 200, description = "One page.", body = BulkActionPage)),
    extensions(("x-permission" = json!("bulk-actions:read"))),
)]
#[get("/v1/bulk-actions")]
async fn list_bulk_actions(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<BulkActionFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| bulk_actions::list(&ctx, &paging, filter).await).await?;
    answer::ok(&BulkActionPage::from(page))
}

/// Create a bulk action
///
/// Cancels, retries or replays the runs that the filter matches now and that the caller sees, in the background.
/// With `dryRun` it only counts them, and waits as a DRAFT to be started. Each run is acted on once, with the
/// rights that its creator has at that moment and as the call for that run alone would; what came of it is listed
/// at `/v1/bulk-actions/{id}/items`. A tenant has at most a hundred that run (`too_many_bulk_actions`), and one
/// acts on at most 100,000 runs. Operators and higher roles may.
#[utoipa::path(
    tag = "Bulk actions",
    operation_id = "create_bulk_action",
    request_body(content = CreateBulkAction, example = json!({
        "kind": "RETRY", "filter": { "status": "FAILED", "reason": "PROVIDER_ERROR" }, "dryRun": true,
    })),
    responses((status = 201, description = "The action, which has begun or is a draft.", body = BulkActionView,
        headers(("Location" = String, description = "Where it is.")))),
    extensions(("x-permission" = json!("bulk-actions:write"))),
)]
#[post("/v1/bulk-actions")]
async fn create_bulk_action(caller: Can<Write>, Json(body): Json<CreateBulkAction>) -> Answer {
    let created = caller.run(async move |ctx| bulk_actions::create(&ctx, body).await).await?;
    answer::created(format!("/v1/bulk-actions/{}", created.id), &created)
}

/// Get a bulk action
///
/// With how far it is. Every member may.
#[utoipa::path(
    tag = "Bulk actions",
    operation_id = "get_bulk_action",
    params(("id" = Uuid, Path, description = "The action.")),
    responses((status = 200, description = "The action.", body = BulkActionView)),
    extensions(("x-permission" = json!("bulk-actions:read"))),
)]
#[get("/v1/bulk-actions/{id}")]
async fn get_bulk_action(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&caller.run(async move |ctx| bulk_actions::get(&ctx, id).await).await?)
}

/// Start a bulk action
///
/// Starts a DRAFT, which acts on runs that were there when it was created; in another status it is 409. Operators
/// and higher roles may.
#[utoipa::path(
    tag = "Bulk actions",
    operation_id = "start_bulk_action",
    params(("id" = Uuid, Path, description = "The action.")),
    responses((status = 200, description = "The action has begun.", body = BulkActionView)),
    extensions(("x-permission" = json!("bulk-actions:write"))),
)]
#[post("/v1/bulk-actions/{id}/start")]
async fn start_bulk_action(caller: Can<Write>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&caller.run(async move |ctx| bulk_actions::start(&ctx, id).await).await?)
}

/// Abort a bulk action
///
/// What it did stays done, and no further run is acted on. One that has ended is 409. Operators and higher roles
/// may.
#[utoipa::path(
    tag = "Bulk actions",
    operation_id = "abort_bulk_action",
    params(("id" = Uuid, Path, description = "The action.")),
    responses((status = 200, description = "The action is aborted.", body = BulkActionView)),
    extensions(("x-permission" = json!("bulk-actions:write"))),
)]
#[post("/v1/bulk-actions/{id}/abort")]
async fn abort_bulk_action(caller: Can<Write>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&caller.run(async move |ctx| bulk_actions::abort(&ctx, id).await).await?)
}

/// List the results of a bulk action
///
/// What became of each run, as far as it is and where the caller sees the run, the last first. Every member may.
#[utoipa::path(
    tag = "Bulk actions",
    operation_id = "list_bulk_action_items",
    params(("id" = Uuid, Path, description = "The action."), Paging, BulkActionItemFilter),
    responses((status = 200, description = "One page.", body = BulkActionItemPage)),
    extensions(("x-permission" = json!("bulk-actions:read"))),
)]
#[get("/v1/bulk-actions/{id}/items")]
async fn list_bulk_action_items(
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(paging): Query<Paging>,
    Query(filter): Query<BulkActionItemFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| bulk_actions::list_items(&ctx, id, &paging, filter).await).await?;
    answer::ok(&BulkActionItemPage::from(page))
}
