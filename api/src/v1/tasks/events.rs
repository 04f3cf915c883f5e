//! `/v1/events`: what happened elsewhere.

use actix_web::{get, post};
use service::auth::permissions::events::{Read, Write};
use service::crud::Paging;
use service::tasks::events::{self, CreateEvent, EventFilter, EventView, PostedEventPage};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(create_event).service(list_events).service(get_event);
}

/// Post an event
///
/// Starts a run of every active AUTOMATION definition that you see and whose `trigger.filter` the event matches, at
/// most a hundred (else 409 `too_many_matches`, and nothing is started), and lets runs that wait for its
/// `correlationKey` go on. The event, its runs and what it resumed are durable together. A definition that cannot be
/// run (its agent is gone, the input does not fit, a limit is reached) stands in the answer as `REFUSED` and holds
/// back no other. An event whose `dedupeId` there is already is 200 with the first one, and starts nothing. Operators
/// and higher roles may.
#[utoipa::path(
    tag = "Events",
    operation_id = "create_event",
    request_body = CreateEvent,
    responses(
        (status = 201, description = "The event, and what it started.", body = EventView,
            headers(("Location" = String, description = "Where the event is."))),
        (status = 200, description = "The first event with this `dedupeId`.", body = EventView),
    ),
    extensions(("x-permission" = json!("events:write"))),
)]
#[post("/v1/events")]
async fn create_event(caller: Can<Write>, Json(body): Json<CreateEvent>) -> Answer {
    let posted = caller.run(async move |ctx| events::create(&ctx, body).await).await?;
    if posted.is_new {
        answer::created(format!("/v1/events/{}", posted.event.id), &posted.event)
    } else {
        answer::ok(&posted.event)
    }
}

/// List events
///
/// The tenant's events, newest first, each with what it started. They are kept as long as runs. Every member may.
#[utoipa::path(
    tag = "Events",
    operation_id = "list_events",
    params(Paging, EventFilter),
    responses((status = 200, description = "One page.", body = PostedEventPage)),
    extensions(("x-permission" = json!("events:read"))),
)]
#[get("/v1/events")]
async fn list_events(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<EventFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| events::list(&ctx, &paging, filter).await).await?;
    answer::ok(&PostedEventPage::from(page))
}

/// Get an event
///
/// The event, and what it started. Every member may.
#[utoipa::path(
    tag = "Events",
    operation_id = "get_event",
    params(("id" = Uuid, Path, description = "The event.")),
    responses((status = 200, description = "The event.", body = EventView)),
    extensions(("x-permission" = json!("events:read"))),
)]
#[get("/v1/events/{id}")]
async fn get_event(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let event = caller.run(async move |ctx| events::get(&ctx, id).await).await?;
    answer::ok(&event)
}
