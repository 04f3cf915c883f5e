//! `/v1/batch-tasks/{id}/targets`: what a batch is over.

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest as _, HttpRequest, get, post};
use serde::Deserialize;
use service::auth::permissions::batch_tasks::{Read, Write};
use service::crud::Paging;
use service::tasks::task_targets::{self, AddTargets, Added, TaskTargetFilter, TaskTargetPage, Upload};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::HttpError;
use crate::extract::{Body, Can, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_task_targets).service(add_task_targets);
}

/// List the targets of a batch task
///
/// Newest first; `results` has them in the order of upload. Every member may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "list_task_targets",
    params(("id" = Uuid, Path, description = "The batch."), Paging, TaskTargetFilter),
    responses((status = 200, description = "One page.", body = TaskTargetPage)),
    extensions(("x-permission" = json!("batch-tasks:read"))),
)]
#[get("/v1/batch-tasks/{id}/targets")]
async fn list_task_targets(
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(paging): Query<Paging>,
    Query(filter): Query<TaskTargetFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| task_targets::list(&ctx, id, &paging, filter).await).await?;
    answer::ok(&TaskTargetPage::from(page))
}

/// How CSV is read.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Columns {
    /// The column of a CSV that holds the key of each target.
    #[param(max_length = 200, default = "targetKey")]
    key_column: Option<String>,
}

/// Add targets to a batch task
///
/// To a draft, as JSON (`{"targets": […]}`), as JSON lines (`{"targetKey", "input"}` each) or as CSV, whose
/// header row names the members of the input; cells become what the definition's `inputSchema` wants there. A
/// body has at most 16 MiB, a batch a million targets: send several. Rows that are wrong are reported with
/// their lines and keep no other out; a target that the batch has already changes nothing. Managers and higher
/// roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "add_task_targets",
    params(("id" = Uuid, Path, description = "The batch."), Columns),
    request_body(content(
        (AddTargets = "application/json"),
        (String = "application/jsonl", example = json!("{\"targetKey\": \"a\", \"input\": {\"name\": \"Ada\"}}\n")),
        (String = "text/csv", example = json!("targetKey,name\na,Ada\n")),
    )),
    responses((status = 200, description = "What became of the rows.", body = Added)),
    extensions(("x-permission" = json!("batch-tasks:write"))),
)]
#[post("/v1/batch-tasks/{id}/targets")]
async fn add_task_targets(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    Query(columns): Query<Columns>,
    request: HttpRequest,
) -> Answer {
    let upload = upload(&request, columns).await?;
    let added = caller.run(async move |ctx| task_targets::add(&ctx, id, upload).await).await?;
    answer::ok(&added)
}

async fn upload(request: &HttpRequest, columns: Columns) -> Result<Upload, HttpError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = Body::of(request).0;
    match kind.as_str() {
        "application/json" => {
            let Json(AddTargets { targets }) = Json::from_request(request, &mut Payload::None).await?;
            Ok(Upload::Rows(targets))
        }
        "application/jsonl" | "application/x-ndjson" | "application/x-jsonlines" => {
            Ok(Upload::JsonLines(text))
        }
        "text/csv" => Ok(Upload::Csv(text, columns.key_column)),
        _ => {
            let message = "Send targets as application/json, application/jsonl or text/csv.";
            Err(HttpError::new("unsupported_media_type", message))
        }
    }
}
