//! `/v1/workers`: programs that execute runs elsewhere; how they register, ask for runs and beat.

use std::time::Duration;

use actix_web::{delete, get, post};
use service::auth::permissions::workers::{Operate, Read, Write};
use service::crud::Paging;
use service::tasks::workers::{
    self, Beat, BeatView, ClaimWork, Claims, PauseWorker, RegisterWorker, RegisteredWorkerView, WorkerFilter,
    WorkerPage, WorkerView,
};
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(register_worker)
        .service(list_workers)
        .service(get_worker)
        .service(delete_worker)
        .service(claim_task_runs)
        .service(beat_worker)
        .service(pause_worker)
        .service(resume_worker)
        .service(drain_worker)
        .service(undrain_worker);
}

/// Register a worker
///
/// Makes a program known that executes runs: what it offers, and how many at once. Under a name that is known
/// it is the same worker, started anew: what it offers is replaced, a drain is over, a pause stays, and runs that
/// it holds go on under their leases. With `delivery` its runs are sent to it, signed with a secret that the first
/// answer shows; registering without it ends that. Managers and above may, and API keys with the scope, but no
/// key that is limited to agents or to a workspace.
#[utoipa::path(
    tag = "Workers",
    operation_id = "register_worker",
    request_body = RegisterWorker,
    responses((status = 201, description = "The worker.", body = RegisteredWorkerView, headers(
        ("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")
    ))),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/workers")]
async fn register_worker(can: Can<Write>, Json(body): Json<RegisterWorker>) -> Answer {
    let view = can.run(async move |ctx| workers::register(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/workers/{}", view.worker.id), &view, view.worker.revision)
}

/// List workers
///
/// Those that registered, with whether they are alive. Every member may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "list_workers",
    params(Paging, WorkerFilter),
    responses((status = 200, description = "One page.", body = WorkerPage)),
    extensions(("x-permission" = json!("workers:read"))),
)]
#[get("/v1/workers")]
async fn list_workers(
    can: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<WorkerFilter>,
) -> Answer {
    let page = can.run(async move |ctx| workers::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&WorkerPage::from(page))
}

/// Get a worker
///
/// What it offers, and whether it is alive: it beats and asks for runs. Every member may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "get_worker",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The worker.", body = WorkerView, headers(("ETag" = String, description = "Its revision.")))),
    extensions(("x-permission" = json!("workers:read"))),
)]
#[get("/v1/workers/{id}")]
async fn get_worker(can: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workers::get(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Remove a worker
///
/// Takes it out of the list. Runs that it still holds are queued again at once, and nothing that it says of them
/// counts any more. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "delete_worker",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Removed.")),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[delete("/v1/workers/{id}")]
async fn delete_worker(can: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    can.run(async move |ctx| workers::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Claim runs
///
/// Gives the worker runs that need what it offers, each under a lease, no more than it has slots free; waits for
/// the first one up to `waitMs`. A run that is created while it waits is given at once. The answer is empty when
/// there is none, and while the worker is paused or drained. A claim whose answer is lost is no loss: its runs
/// come back when their leases are over. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "claim_task_runs",
    params(("id" = Uuid, Path)),
    request_body = ClaimWork,
    responses((status = 200, description = "The runs to execute.", body = Claims)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/workers/{id}/claim")]
async fn claim_task_runs(can: Can<Write>, Path(id): Path<Uuid>, Json(body): Json<ClaimWork>) -> Answer {
    // Who hangs up is given nothing: it would wait for a lease to end.
    let gone = CancellationToken::new();
    let _guard = gone.clone().drop_guard();
    let wait = Duration::from_millis(body.wait_ms);
    let claims = can.run_waiting(wait, async move |ctx| workers::claim(&ctx, id, body, gone).await).await?;
    answer::ok(&claims)
}

/// Beat
///
/// Says that the worker lives and renews the leases that it names. Each is `OK`, `LOST` (it is over: stop) or
/// `CANCEL` (stop, and release or fail the attempt). `command` is `DRAIN` when it shall end what it holds and
/// stop. `draining` tells that it does so by itself. Managers and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "beat_worker",
    params(("id" = Uuid, Path)),
    request_body = Beat,
    responses((status = 200, description = "How its leases stand.", body = BeatView)),
    extensions(("x-permission" = json!("workers:write"))),
)]
#[post("/v1/workers/{id}/heartbeat")]
async fn beat_worker(can: Can<Write>, Path(id): Path<Uuid>, Json(body): Json<Beat>) -> Answer {
    let view = can.run(async move |ctx| workers::beat(&ctx, id, body).await).await?;
    answer::ok(&view)
}

/// Pause a worker
///
/// It is given no runs until it is resumed, also when it registers anew; those that it holds go on. Operators
/// and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "pause_worker",
    params(("id" = Uuid, Path)),
    request_body = PauseWorker,
    responses((status = 200, description = "The worker.", body = WorkerView)),
    extensions(("x-permission" = json!("workers:operate"))),
)]
#[post("/v1/workers/{id}/pause")]
async fn pause_worker(can: Can<Operate>, Path(id): Path<Uuid>, Json(body): Json<PauseWorker>) -> Answer {
    let view = can.run(async move |ctx| workers::pause(&ctx, id, body).await).await?;
    answer::tagged(&view, view.revision)
}

/// Resume a worker
///
/// It is given runs again. Operators and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "resume_worker",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The worker.", body = WorkerView)),
    extensions(("x-permission" = json!("workers:operate"))),
)]
#[post("/v1/workers/{id}/resume")]
async fn resume_worker(can: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workers::resume(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// Drain a worker
///
/// It is given no new runs, is told so at its next heartbeat, and stops when it holds none any more. Registering
/// anew ends the drain. Operators and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "drain_worker",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The worker.", body = WorkerView)),
    extensions(("x-permission" = json!("workers:operate"))),
)]
#[post("/v1/workers/{id}/drain")]
async fn drain_worker(can: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workers::drain(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}

/// End the drain of a worker
///
/// It is given new runs again, if it still asks. Operators and above may.
#[utoipa::path(
    tag = "Workers",
    operation_id = "undrain_worker",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The worker.", body = WorkerView)),
    extensions(("x-permission" = json!("workers:operate"))),
)]
#[post("/v1/workers/{id}/undrain")]
async fn undrain_worker(can: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = can.run(async move |ctx| workers::undrain(&ctx, id).await).await?;
    answer::tagged(&view, view.revision)
}
