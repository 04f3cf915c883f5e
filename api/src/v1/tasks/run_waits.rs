//! `/v1/run-waits`: what runs wait for beside approvals.

use actix_web::get;
use service::auth::permissions::task_runs::Read;
use service::crud::Paging;
use service::tasks::run_waits::{self, RunWaitFilter, RunWaitPage};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_run_waits);
}

/// List what runs wait for
///
/// The questions, events and times that runs wait for or waited for; approvals have a list of their own. With
/// `status=OPEN&kind=USER_INPUT`, the questions that somebody should answer. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "list_run_waits",
    params(Paging, RunWaitFilter),
    responses((status = 200, description = "One page.", body = RunWaitPage)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/run-waits")]
async fn list_run_waits(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<RunWaitFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| run_waits::list(&ctx, &paging, filter).await).await?;
    answer::ok(&RunWaitPage::from(page))
}
