//! `/v1/hook-deliveries`: what inbound hooks were sent.

use actix_web::{get, post};
use service::auth::permissions::inbound_hooks::{Read, Replay};
use service::crud::Paging;
use service::tasks::hook_deliveries::{
    self, HookDeliveryFilter, HookDeliveryPage, HookDeliveryView, WholeHookDeliveryView,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_hook_deliveries).service(get_hook_delivery).service(replay_hook_delivery);
}

/// List deliveries
///
/// What the tenant's inbound hooks were sent, newest first, with what became of it; of what was refused, a bounded
/// number a minute. They are kept as long as runs. Every member may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "list_hook_deliveries",
    params(Paging, HookDeliveryFilter),
    responses((status = 200, description = "One page.", body = HookDeliveryPage)),
    extensions(("x-permission" = json!("inbound-hooks:read"))),
)]
#[get("/v1/hook-deliveries")]
async fn list_hook_deliveries(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<HookDeliveryFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| hook_deliveries::list(&ctx, &paging, filter).await).await?;
    answer::ok(&HookDeliveryPage::from(page))
}

/// Get a delivery
///
/// With its body. Headers that prove who somebody is are not kept. Every member may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "get_hook_delivery",
    params(("id" = Uuid, Path, description = "The delivery.")),
    responses((status = 200, description = "The delivery.", body = WholeHookDeliveryView)),
    extensions(("x-permission" = json!("inbound-hooks:read"))),
)]
#[get("/v1/hook-deliveries/{id}")]
async fn get_hook_delivery(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let delivery = caller.run(async move |ctx| hook_deliveries::get(&ctx, id).await).await?;
    answer::ok(&delivery)
}

/// Replay a delivery
///
/// Gives it to the hook's task definition as it is now, as a new delivery with `replayOf`: after a template was
/// mended, say. One whose signature was not right, or that cannot be read, is 409 `not_replayable`; what refuses a run
/// refuses this one. Operators and higher roles may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "replay_hook_delivery",
    params(("id" = Uuid, Path, description = "The delivery.")),
    responses((status = 200, description = "The new delivery.", body = HookDeliveryView)),
    extensions(("x-permission" = json!("inbound-hooks:replay"))),
)]
#[post("/v1/hook-deliveries/{id}/replay")]
async fn replay_hook_delivery(caller: Can<Replay>, Path(id): Path<Uuid>) -> Answer {
    let delivery = caller.run(async move |ctx| hook_deliveries::replay(&ctx, id).await).await?;
    answer::ok(&delivery)
}
