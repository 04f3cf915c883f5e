//! `/v1/recurrences`: what a recurrence means, before a schedule has it.

use actix_web::get;
use service::auth::permissions::scheduled_tasks::Read;
use service::tasks::recurrences::{self, OccurrencesView, PreviewFilter};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(preview_recurrence);
}

/// Preview a recurrence
///
/// The next times of a cron expression or an interval that no schedule has yet, in UTC and by the clocks of the
/// zone. Every member may.
#[utoipa::path(
    tag = "Scheduled tasks",
    operation_id = "preview_recurrence",
    params(PreviewFilter),
    responses((status = 200, description = "The next times.", body = OccurrencesView)),
    extensions(("x-permission" = json!("scheduled-tasks:read"))),
)]
#[get("/v1/recurrences/preview")]
async fn preview_recurrence(caller: Can<Read>, Query(filter): Query<PreviewFilter>) -> Answer {
    let times = caller.run(async move |ctx| recurrences::preview(&ctx, filter).await).await?;
    answer::ok(&times)
}
