//! `/v1/inbound-hooks`: the signed URLs of WEBHOOK task definitions.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::inbound_hooks::{Read, Write};
use service::crud::Paging;
use service::tasks::inbound_hooks::{
    self, CreateInboundHook, InboundHookFilter, InboundHookPage, InboundHookView, NewInboundHookView,
    RotateInboundHook, UpdateInboundHook,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_inbound_hooks)
        .service(create_inbound_hook)
        .service(get_inbound_hook)
        .service(update_inbound_hook)
        .service(delete_inbound_hook)
        .service(rotate_inbound_hook);
}

/// List inbound hooks
///
/// The tenant's hooks, without URLs and secrets. Every member may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "list_inbound_hooks",
    params(Paging, InboundHookFilter),
    responses((status = 200, description = "One page.", body = InboundHookPage)),
    extensions(("x-permission" = json!("inbound-hooks:read"))),
)]
#[get("/v1/inbound-hooks")]
async fn list_inbound_hooks(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<InboundHookFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| inbound_hooks::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&InboundHookPage::from(page))
}

/// Create an inbound hook
///
/// Makes a URL that starts runs of a WEBHOOK task definition, for senders that sign what they send: by Standard
/// Webhooks, as GitHub, Stripe or Slack do, with a plain HMAC, or, if you say `NONE`, not at all. The URL, and the
/// secret if it was made here, are shown in this answer only. Managers and above may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "create_inbound_hook",
    request_body(content = CreateInboundHook, example = json!({"name": "GitHub", "definitionId": "0199a000-0000-7000-8000-000000000001", "scheme": "GITHUB"})),
    responses((status = 201, description = "The hook, with its URL.", body = NewInboundHookView,
        headers(("Location" = String, description = "Where the hook is."), ("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("inbound-hooks:write"))),
)]
#[post("/v1/inbound-hooks")]
async fn create_inbound_hook(caller: Can<Write>, Json(body): Json<CreateInboundHook>) -> Answer {
    let made = caller.run(async move |ctx| inbound_hooks::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/inbound-hooks/{}", made.hook.id), &made, made.hook.revision)
}

/// Get an inbound hook
///
/// Without its URL and its secret. Every member may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "get_inbound_hook",
    params(("id" = Uuid, Path, description = "The hook.")),
    responses((status = 200, description = "The hook.", body = InboundHookView,
        headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("inbound-hooks:read"))),
)]
#[get("/v1/inbound-hooks/{id}")]
async fn get_inbound_hook(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let hook = caller.run(async move |ctx| inbound_hooks::get(&ctx, id).await).await?;
    answer::tagged(&hook, hook.revision)
}

/// Update an inbound hook
///
/// A merge patch of its name, its metadata and whether it is active; one that is not is to its senders as if it were
/// missing. How it is signed does not change: make another hook. Managers and above may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "update_inbound_hook",
    params(("id" = Uuid, Path, description = "The hook.")),
    request_body(content = UpdateInboundHook, example = json!({"isActive": false})),
    responses((status = 200, description = "The hook.", body = InboundHookView,
        headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("inbound-hooks:write"))),
)]
#[patch("/v1/inbound-hooks/{id}")]
async fn update_inbound_hook(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateInboundHook>,
) -> Answer {
    let hook = caller.run(async move |ctx| inbound_hooks::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&hook, hook.revision)
}

/// Delete an inbound hook
///
/// Its URL is unknown at once. Its deliveries stay as long as runs do. Managers and above may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "delete_inbound_hook",
    params(("id" = Uuid, Path, description = "The hook.")),
    responses((status = 204, description = "Deleted.")),
    extensions(("x-permission" = json!("inbound-hooks:write"))),
)]
#[delete("/v1/inbound-hooks/{id}")]
async fn delete_inbound_hook(caller: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    caller.run(async move |ctx| inbound_hooks::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Rotate an inbound hook
///
/// Gives it a new URL or a new secret, shown in this answer only. The one before works for `overlapSeconds`, so that
/// nothing is lost while the sender is told; one before that ends at once. Managers and above may.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "rotate_inbound_hook",
    params(("id" = Uuid, Path, description = "The hook.")),
    request_body = RotateInboundHook,
    responses((status = 200, description = "The hook, with what is new.", body = NewInboundHookView)),
    extensions(("x-permission" = json!("inbound-hooks:write"))),
)]
#[post("/v1/inbound-hooks/{id}/rotate")]
async fn rotate_inbound_hook(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    Json(body): Json<RotateInboundHook>,
) -> Answer {
    let hook = caller.run(async move |ctx| inbound_hooks::rotate(&ctx, id, body).await).await?;
    answer::ok(&hook)
}
