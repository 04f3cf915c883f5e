//! `/v1/task-runs/{id}/input`: answers to what runs ask.

use actix_web::post;
use service::auth::permissions::task_runs;
use service::tasks::run_input::{self, AnswerRun};
use service::tasks::run_waits::RunWaitView;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json, Path};

pub fn routes(config: &mut ServiceConfig) {
    config.service(answer_task_run);
}

/// Answer a run's question
///
/// Gives the run what it asked for with `builtin/ask_user`; it goes on through the queue once nothing that it
/// waits for is open. The answer has to fit the question's schema. Where the run asks several questions, `waitId`
/// says which is answered. The first answer counts: a later one, and one to a question that has expired or whose
/// run was cancelled, is 409 `already_answered`; a run that asks nothing is 409 `not_waiting`. Operators and higher
/// roles may, and client tokens with this scope.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "answer_task_run",
    params(("id" = Uuid, Path, description = "The run.")),
    request_body = AnswerRun,
    responses((status = 200, description = "The answered question.", body = RunWaitView)),
    extensions(("x-permission" = json!("task-runs:answer"))),
)]
#[post("/v1/task-runs/{id}/input")]
async fn answer_task_run(
    caller: Can<task_runs::Answer>,
    Path(id): Path<Uuid>,
    Json(body): Json<AnswerRun>,
) -> Answer {
    let wait = caller.run(async move |ctx| run_input::answer(&ctx, id, body).await).await?;
    answer::ok(&wait)
}
