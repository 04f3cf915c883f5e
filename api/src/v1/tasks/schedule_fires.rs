//! `/v1/schedule-fires`: what came of each time of a schedule.

use actix_web::get;
use service::auth::permissions::scheduled_tasks::Read;
use service::crud::Paging;
use service::tasks::schedule_fires::{self, ScheduleFireFilter, ScheduleFirePage, ScheduleFireView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_schedule_fires).service(get_schedule_fire);
}

/// List schedule fires
///
/// What came of the times of schedules, newest first: started with its run, waiting, skipped with a reason, or
/// coalesced into another. Every member may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "list_schedule_fires",
    params(Paging, ScheduleFireFilter),
    responses((status = 200, description = "One page.", body = ScheduleFirePage)),
    extensions(("x-permission" = json!("scheduled-tasks:read"))),
)]
#[get("/v1/schedule-fires")]
async fn list_schedule_fires(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<ScheduleFireFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| schedule_fires::list(&ctx, &paging, filter).await).await?;
    answer::ok(&ScheduleFirePage::from(page))
}

/// Get a schedule fire
///
/// One time of a schedule, and what came of it. Every member may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "get_schedule_fire",
    params(("id" = Uuid, Path, description = "The fire.")),
    responses((status = 200, description = "The fire.", body = ScheduleFireView)),
    extensions(("x-permission" = json!("scheduled-tasks:read"))),
)]
#[get("/v1/schedule-fires/{id}")]
async fn get_schedule_fire(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let fire = caller.run(async move |ctx| schedule_fires::get(&ctx, id).await).await?;
    answer::ok(&fire)
}
