//! `/v1/scheduled-tasks`: when definitions run.

use actix_web::{delete, get, patch, post};
use serde::Deserialize;
use service::auth::permissions::scheduled_tasks::{Operate, Read, Write};
use service::crud::Paging;
use service::tasks::recurrences::OccurrencesView;
use service::tasks::schedule_fires::ScheduleFireView;
use service::tasks::scheduled_tasks::{
    self, BackfillScheduledTask, BackfillView, CreateScheduledTask, PauseScheduledTask, ScheduledTaskFilter,
    ScheduledTaskPage, ScheduledTaskView, TriggerScheduledTask, UpdateScheduledTask,
};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, OptionalJson, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_scheduled_tasks)
        .service(create_scheduled_task)
        .service(get_scheduled_task)
        .service(update_scheduled_task)
        .service(delete_scheduled_task)
        .service(preview_scheduled_task)
        .service(pause_scheduled_task)
        .service(resume_scheduled_task)
        .service(trigger_scheduled_task)
        .service(backfill_scheduled_task);
}

/// List scheduled tasks
///
/// The tenant's schedules, newest first. Every member may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "list_scheduled_tasks",
    params(Paging, ScheduledTaskFilter),
    responses((status = 200, description = "One page.", body = ScheduledTaskPage)),
    extensions(("x-permission" = json!("scheduled-tasks:read"))),
)]
#[get("/v1/scheduled-tasks")]
async fn list_scheduled_tasks(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<ScheduledTaskFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| scheduled_tasks::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&ScheduledTaskPage::from(page))
}

/// Create a scheduled task
///
/// Runs a definition once (`ONE_TIME`, at `runAt`), again and again (`RECURRING`, by a cron expression in the
/// local time of a zone, or an interval), or a delay after it is triggered (`TRIGGER_BASED`). Each time has
/// exactly one fire, whatever the number of nodes: it starts a run, or says why not. A local time that does not
/// exist fires at the next instant that does; one that comes twice fires once, the first time. Managers and
/// higher roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "create_scheduled_task",
    request_body(content = CreateScheduledTask, example = json!({
        "name": "Morning report",
        "definitionId": "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
        "recurrence": {"cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin"},
        "input": {"day": "{{ schedule.dueAt }}"},
        "overlap": "SKIP",
        "catchup": "LAST",
    })),
    responses(
        (status = 201, description = "The new schedule.", body = ScheduledTaskView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("scheduled-tasks:write"))),
)]
#[post("/v1/scheduled-tasks")]
async fn create_scheduled_task(caller: Can<Write>, Json(body): Json<CreateScheduledTask>) -> Answer {
    let created = caller.run(async move |ctx| scheduled_tasks::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/scheduled-tasks/{}", created.id), &created, created.revision)
}

/// Get a scheduled task
///
/// The schedule as it is now. Every member may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "get_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    responses((status = 200, description = "The schedule.", body = ScheduledTaskView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("scheduled-tasks:read"))),
)]
#[get("/v1/scheduled-tasks/{id}")]
async fn get_scheduled_task(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| scheduled_tasks::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change a scheduled task
///
/// A merge patch. Changed times count from now on; runs that exist stay as they are. What is the trigger of a
/// SCHEDULED definition is changed there. Managers and higher roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "update_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    request_body(content = UpdateScheduledTask, example = json!({"overlap": "QUEUE_ONE", "jitterSeconds": 60})),
    responses((status = 200, description = "The schedule as it is now.", body = ScheduledTaskView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("scheduled-tasks:write"))),
)]
#[patch("/v1/scheduled-tasks/{id}")]
async fn update_scheduled_task(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateScheduledTask>,
) -> Answer {
    let updated =
        caller.run(async move |ctx| scheduled_tasks::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete a scheduled task
///
/// Fires that wait are skipped; what runs goes on, and the history stays. Managers and higher roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "delete_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("scheduled-tasks:write"))),
)]
#[delete("/v1/scheduled-tasks/{id}")]
async fn delete_scheduled_task(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Answer {
    caller.run(async move |ctx| scheduled_tasks::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// How many times are shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Shown {
    /// How many times are shown.
    #[param(minimum = 1, maximum = 100, default = 10)]
    count: Option<u32>,
}

/// Preview a scheduled task
///
/// The next times of the schedule, without its jitter, in UTC and by the clocks of its zone. Every member may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "preview_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule."), Shown),
    responses((status = 200, description = "The next times.", body = OccurrencesView)),
    extensions(("x-permission" = json!("scheduled-tasks:read"))),
)]
#[get("/v1/scheduled-tasks/{id}/preview")]
async fn preview_scheduled_task(
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(shown): Query<Shown>,
) -> Answer {
    let times = caller.run(async move |ctx| scheduled_tasks::preview(&ctx, id, shown.count).await).await?;
    answer::ok(&times)
}

/// Pause a scheduled task
///
/// No time is due until it is resumed, and fires that wait go on waiting. What runs goes on. Operators and higher
/// roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "pause_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    request_body = PauseScheduledTask,
    responses((status = 200, description = "The schedule as it is now.", body = ScheduledTaskView)),
    extensions(("x-permission" = json!("scheduled-tasks:operate"))),
)]
#[post("/v1/scheduled-tasks/{id}/pause")]
async fn pause_scheduled_task(
    caller: Can<Operate>,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<PauseScheduledTask>,
) -> Answer {
    let view = caller.run(async move |ctx| scheduled_tasks::pause(&ctx, id, body).await).await?;
    answer::ok(&view)
}

/// Resume a scheduled task
///
/// Its next time is the first one after now; what passed while it was paused is not made up for, unless by a
/// backfill. Operators and higher roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "resume_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    responses((status = 200, description = "The schedule as it is now.", body = ScheduledTaskView)),
    extensions(("x-permission" = json!("scheduled-tasks:operate"))),
)]
#[post("/v1/scheduled-tasks/{id}/resume")]
async fn resume_scheduled_task(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = caller.run(async move |ctx| scheduled_tasks::resume(&ctx, id).await).await?;
    answer::ok(&view)
}

/// Trigger a scheduled task
///
/// Fires it now, whatever its status, or after its `delaySeconds`; its times go on as they are. Where a run of
/// it has not ended, the overlap strategy decides. Operators and higher roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "trigger_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    request_body = TriggerScheduledTask,
    responses((status = 201, description = "The fire: started, waiting or skipped.", body = ScheduleFireView,
        headers(("Location" = String, description = "Where the fire is.")))),
    extensions(("x-permission" = json!("scheduled-tasks:operate"))),
)]
#[post("/v1/scheduled-tasks/{id}/trigger")]
async fn trigger_scheduled_task(
    caller: Can<Operate>,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<TriggerScheduledTask>,
) -> Answer {
    let fire = caller.run(async move |ctx| scheduled_tasks::trigger(&ctx, id, body).await).await?;
    answer::created(format!("/v1/schedule-fires/{}", fire.id), &fire)
}

/// Backfill a scheduled task
///
/// Gives each time of a span of the past that started no run a fire: times without one, and those that were
/// skipped or coalesced. They run one after the other, or side by side where `overlap` is `ALLOW`. At most 1,000
/// times at once. Operators and higher roles may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "backfill_scheduled_task",
    params(("id" = Uuid, Path, description = "The schedule.")),
    request_body = BackfillScheduledTask,
    responses((status = 202, description = "The fires wait for their turn.", body = BackfillView)),
    extensions(("x-permission" = json!("scheduled-tasks:operate"))),
)]
#[post("/v1/scheduled-tasks/{id}/backfill")]
async fn backfill_scheduled_task(
    caller: Can<Operate>,
    Path(id): Path<Uuid>,
    Json(body): Json<BackfillScheduledTask>,
) -> Answer {
    let view = caller.run(async move |ctx| scheduled_tasks::backfill(&ctx, id, body).await).await?;
    answer::accepted(format!("/v1/schedule-fires?scheduledTaskId={id}&kind=BACKFILL"), &view)
}
