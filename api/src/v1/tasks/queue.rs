//! `/v1/queue`: the tenant's work at a glance.

use actix_web::get;
use service::auth::permissions::task_runs::Read;
use service::tasks::queue::{self, QueueView};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::Can;

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_queue);
}

/// Get the queue
///
/// How many runs are queued, running and waiting, counted up to 10,000 each; what was created and ended in the last
/// minute, among the thousand newest runs; and the runs that failed last. Every member may, and sees what they see of
/// the runs.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "get_queue",
    responses((status = 200, description = "The figures of this moment.", body = QueueView)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/queue")]
async fn get_queue(caller: Can<Read>) -> Answer {
    let queue = caller.run(async move |ctx| queue::get(&ctx).await).await?;
    answer::ok(&queue)
}
