//! `/v1/task-runs/{id}/explain`: why a run is as it is.

use actix_web::get;
use service::auth::permissions::task_runs::Read;
use service::tasks::run_explain::{self, RunExplanationView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path};

pub fn routes(config: &mut ServiceConfig) {
    config.service(explain_task_run);
}

/// Explain a task run
///
/// Why a queued run has not started: the limit, the pause or the time that blocks it, how many stand before it and
/// when it may start; who executes a running one and until when; what a waiting one waits for; why an ended one
/// ended. Each cause has a code and a sentence, and `actions` says what may be done. The facts are looked at anew,
/// and cost the same however long the queue is. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "explain_task_run",
    params(("id" = Uuid, Path, description = "The run.")),
    responses((status = 200, description = "The explanation.", body = RunExplanationView)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/task-runs/{id}/explain")]
async fn explain_task_run(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let explanation = caller.run(async move |ctx| run_explain::explain(&ctx, id).await).await?;
    answer::ok(&explanation)
}
