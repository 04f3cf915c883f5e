//! `/v1/task-runs/{id}/attempts/{attempt}`: what a worker says of the attempt that it was given.

use actix_web::post;
use service::auth::permissions::workers::Write;
use service::tasks::run_attempts::{
    self, AddAttemptEvents, AttemptEnded, AttemptStateView, CompleteAttempt, FailAttempt, ReleaseAttempt,
    SuspendAttempt,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json, Path};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(add_attempt_events)
        .service(complete_attempt)
        .service(fail_attempt)
        .service(release_attempt)
        .service(suspend_attempt);
}

/// Report events of an attempt
///
/// Appends to the run's timeline: logs, progress, pieces of text; and to its journal: model turns, tool calls and
/// usage, whose cost the run then has. Each event is taken in once, by its `clientSeq`, so that the call can be
/// repeated. Over a lease that is gone it is 409 `lease_lost`, and nothing is written. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "add_attempt_events",
    params(
        ("id" = Uuid, Path, description = "The run."),
        ("attempt" = i32, Path, description = "The attempt's number."),
    ),
    request_body = AddAttemptEvents,
    responses((status = 200, description = "What was taken in, and whether the attempt goes on.", body = AttemptStateView)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/task-runs/{id}/attempts/{attempt}/events")]
async fn add_attempt_events(
    can: Can<Write>,
    Path((id, attempt)): Path<(Uuid, i32)>,
    Json(body): Json<AddAttemptEvents>,
) -> Answer {
    let view = can.run(async move |ctx| run_attempts::add_events(&ctx, id, attempt, body).await).await?;
    answer::ok(&view)
}

/// Complete an attempt
///
/// Ends the run with its output. An output that does not fit its schema is 422 and leaves the attempt as it was.
/// The same call again, after its answer was lost, is answered like the first. With `claimNext` the worker's next
/// run is in the answer. Over a lease that is gone it is 409 `lease_lost`, and nothing is written. Managers and
/// above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "complete_attempt",
    params(
        ("id" = Uuid, Path, description = "The run."),
        ("attempt" = i32, Path, description = "The attempt's number."),
    ),
    request_body = CompleteAttempt,
    responses((status = 200, description = "The run, ended.", body = AttemptEnded)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/task-runs/{id}/attempts/{attempt}/complete")]
async fn complete_attempt(
    can: Can<Write>,
    Path((id, attempt)): Path<(Uuid, i32)>,
    Json(body): Json<CompleteAttempt>,
) -> Answer {
    let view = can.run(async move |ctx| run_attempts::complete(&ctx, id, attempt, body).await).await?;
    answer::ok(&view)
}

/// Fail an attempt
///
/// Ends the attempt. Whether there is another is the run's policy: `retryable`, the attempts left and the time
/// left. Where a cancel was asked for the run is CANCELLED. The same call again is answered like the first. Over
/// a lease that is gone it is 409 `lease_lost`, and nothing is written. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "fail_attempt",
    params(
        ("id" = Uuid, Path, description = "The run."),
        ("attempt" = i32, Path, description = "The attempt's number."),
    ),
    request_body = FailAttempt,
    responses((status = 200, description = "The run, queued again or ended.", body = AttemptEnded)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/task-runs/{id}/attempts/{attempt}/fail")]
async fn fail_attempt(
    can: Can<Write>,
    Path((id, attempt)): Path<(Uuid, i32)>,
    Json(body): Json<FailAttempt>,
) -> Answer {
    let view = can.run(async move |ctx| run_attempts::fail(&ctx, id, attempt, body).await).await?;
    answer::ok(&view)
}

/// Release an attempt
///
/// Gives the run back to the queue unfinished; it consumes no attempt. Where a cancel was asked for the run is
/// CANCELLED. Over a lease that is gone it is 409 `lease_lost`, and nothing is written. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "release_attempt",
    params(
        ("id" = Uuid, Path, description = "The run."),
        ("attempt" = i32, Path, description = "The attempt's number."),
    ),
    request_body = ReleaseAttempt,
    responses((status = 200, description = "The run, queued again.", body = AttemptEnded)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/task-runs/{id}/attempts/{attempt}/release")]
async fn release_attempt(
    can: Can<Write>,
    Path((id, attempt)): Path<(Uuid, i32)>,
    Json(body): Json<ReleaseAttempt>,
) -> Answer {
    let view = can.run(async move |ctx| run_attempts::release(&ctx, id, attempt, body).await).await?;
    answer::ok(&view)
}

/// Suspend an attempt
///
/// The run waits, for a time, a person's decision or answer, or an event, and gives up its slot and its lease. It
/// comes back through the queue, to whichever worker takes it then, with its journal and what came. With `claimNext`
/// the worker's next run is in the answer. Over a lease
/// that is gone it is 409 `lease_lost`, and nothing is written. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "suspend_attempt",
    params(
        ("id" = Uuid, Path, description = "The run."),
        ("attempt" = i32, Path, description = "The attempt's number."),
    ),
    request_body = SuspendAttempt,
    responses((status = 200, description = "The run, waiting.", body = AttemptEnded)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/task-runs/{id}/attempts/{attempt}/suspend")]
async fn suspend_attempt(
    can: Can<Write>,
    Path((id, attempt)): Path<(Uuid, i32)>,
    Json(body): Json<SuspendAttempt>,
) -> Answer {
    let view = can.run(async move |ctx| run_attempts::suspend(&ctx, id, attempt, body).await).await?;
    answer::ok(&view)
}
