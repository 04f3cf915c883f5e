//! `/v1/task-runs/{id}/steps`: the journal of a run.

use actix_web::get;
use service::auth::permissions::task_runs::Read;
use service::tasks::run_steps::{self, RunStepPage, StepFilter};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_run_steps);
}

/// List a run's steps
///
/// The journal in its order: each model turn and tool call with its request, response, tokens, cost and
/// latency. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "list_run_steps",
    params(("id" = Uuid, Path, description = "The run."), StepFilter),
    responses((status = 200, description = "One page.", body = RunStepPage)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/task-runs/{id}/steps")]
async fn list_run_steps(caller: Can<Read>, Path(id): Path<Uuid>, Query(filter): Query<StepFilter>) -> Answer {
    let page = caller.run(async move |ctx| run_steps::list(&ctx, id, &filter).await).await?;
    answer::ok(&page)
}
