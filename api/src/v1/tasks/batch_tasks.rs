//! `/v1/batch-tasks`: a definition over many targets.

use actix_web::{HttpResponse, delete, get, patch, post};
use service::auth::permissions::batch_tasks::{Operate, Read, Write};
use service::crud::Paging;
use service::tasks::batch_tasks::{
    self, BatchDryRun, BatchEstimate, BatchTaskFilter, BatchTaskPage, BatchTaskView, CreateBatchTask,
    DryRunFilter, PauseBatchTask, UpdateBatchTask,
};
use service::tasks::task_targets::{self, ResultFilter, ResultFormat, ResultRow};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::HttpError;
use crate::extract::{Can, IfMatch, Json, OptionalJson, Path, Query};
use crate::lines;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_batch_tasks)
        .service(create_batch_task)
        .service(get_batch_task)
        .service(update_batch_task)
        .service(delete_batch_task)
        .service(estimate_batch_task)
        .service(dry_run_batch_task)
        .service(start_batch_task)
        .service(pause_batch_task)
        .service(resume_batch_task)
        .service(cancel_batch_task)
        .service(retry_batch_task)
        .service(export_batch_results);
}

/// List batch tasks
///
/// The tenant's batches, newest first, without their counters. Every member may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "list_batch_tasks",
    params(Paging, BatchTaskFilter),
    responses((status = 200, description = "One page.", body = BatchTaskPage)),
    extensions(("x-permission" = json!("batch-tasks:read"))),
)]
#[get("/v1/batch-tasks")]
async fn list_batch_tasks(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<BatchTaskFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| batch_tasks::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&BatchTaskPage::from(page))
}

/// Create a batch task
///
/// A draft, to which targets are added. Once started it creates one run for each target, as fast as its pacing
/// allows. It pauses itself when more targets than `maxFailures` have failed, or when its runs have cost
/// `maxCost`. What holds for runs of the definition holds for these: a target whose run its concurrency key or
/// dedupe key refuses has failed with `key_taken`. Managers and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "create_batch_task",
    request_body(content = CreateBatchTask, example = json!({
        "name": "Summaries for all customers",
        "definitionId": "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
        "pacing": {"ratePerMinute": 600, "maxInFlight": 50},
        "maxFailures": 20,
        "maxCost": "25",
    })),
    responses(
        (status = 201, description = "The new batch.", body = BatchTaskView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("batch-tasks:write"))),
)]
#[post("/v1/batch-tasks")]
async fn create_batch_task(caller: Can<Write>, Json(body): Json<CreateBatchTask>) -> Answer {
    let created = caller.run(async move |ctx| batch_tasks::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/batch-tasks/{}", created.id), &created, created.revision)
}

/// Get a batch task
///
/// The batch with its counters, which are counted from its targets. Every member may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "get_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The batch.", body = BatchTaskView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("batch-tasks:read"))),
)]
#[get("/v1/batch-tasks/{id}")]
async fn get_batch_task(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| batch_tasks::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change a batch task
///
/// A merge patch. Pacing and budgets act at once, also while it runs. Managers and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "update_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    request_body(content = UpdateBatchTask, example = json!({"pacing": {"ratePerMinute": 60}})),
    responses((status = 200, description = "The batch as it is now.", body = BatchTaskView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("batch-tasks:write"))),
)]
#[patch("/v1/batch-tasks/{id}")]
async fn update_batch_task(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateBatchTask>,
) -> Answer {
    let updated = caller.run(async move |ctx| batch_tasks::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete a batch task
///
/// A draft, or one that has ended. Its targets go with it; its runs stay. Managers and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "delete_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("batch-tasks:write"))),
)]
#[delete("/v1/batch-tasks/{id}")]
async fn delete_batch_task(caller: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    caller.run(async move |ctx| batch_tasks::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Estimate a batch task
///
/// What the targets that wait will probably cost and take: from the mean of the definition's last hundred
/// completed runs; where there are none, from the price of one model turn over a sample of the inputs, or of one
/// call of the tool. Every member may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "estimate_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The estimate, and what it is made of.", body = BatchEstimate)),
    extensions(("x-permission" = json!("batch-tasks:read"))),
)]
#[get("/v1/batch-tasks/{id}/estimate")]
async fn estimate_batch_task(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let estimate = caller.run(async move |ctx| batch_tasks::estimate(&ctx, id).await).await?;
    answer::ok(&estimate)
}

/// Rehearse a batch task
///
/// Checks the inputs of targets that wait as a run would, and creates none. Every member may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "dry_run_batch_task",
    params(("id" = Uuid, Path, description = "The batch."), DryRunFilter),
    responses((status = 200, description = "What would become of the targets.", body = BatchDryRun)),
    extensions(("x-permission" = json!("batch-tasks:read"))),
)]
#[get("/v1/batch-tasks/{id}/dry-run")]
async fn dry_run_batch_task(
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(filter): Query<DryRunFilter>,
) -> Answer {
    let found = caller.run(async move |ctx| batch_tasks::dry_run(&ctx, id, filter).await).await?;
    answer::ok(&found)
}

/// Start a batch task
///
/// Checks the inputs (`VALIDATING`; those that do not fit have failed), then creates runs (`RUNNING`). Operators
/// and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "start_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The batch as it is now.", body = BatchTaskView)),
    extensions(("x-permission" = json!("batch-tasks:operate"))),
)]
#[post("/v1/batch-tasks/{id}/start")]
async fn start_batch_task(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = caller.run(async move |ctx| batch_tasks::start(&ctx, id).await).await?;
    answer::ok(&view)
}

/// Pause a batch task
///
/// No run is created until it is resumed; runs that exist go on. Operators and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "pause_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    request_body = PauseBatchTask,
    responses((status = 200, description = "The batch as it is now.", body = BatchTaskView)),
    extensions(("x-permission" = json!("batch-tasks:operate"))),
)]
#[post("/v1/batch-tasks/{id}/pause")]
async fn pause_batch_task(
    caller: Can<Operate>,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<PauseBatchTask>,
) -> Answer {
    let view = caller.run(async move |ctx| batch_tasks::pause(&ctx, id, body).await).await?;
    answer::ok(&view)
}

/// Resume a batch task
///
/// Goes on where it was paused, by people or by itself. One whose budget is used up pauses again: raise it
/// first. Operators and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "resume_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The batch as it is now.", body = BatchTaskView)),
    extensions(("x-permission" = json!("batch-tasks:operate"))),
)]
#[post("/v1/batch-tasks/{id}/resume")]
async fn resume_batch_task(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = caller.run(async move |ctx| batch_tasks::resume(&ctx, id).await).await?;
    answer::ok(&view)
}

/// Cancel a batch task
///
/// Targets that wait get no run, and runs that have not ended are cancelled. Operators and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "cancel_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The batch as it is now.", body = BatchTaskView)),
    extensions(("x-permission" = json!("batch-tasks:operate"))),
)]
#[post("/v1/batch-tasks/{id}/cancel")]
async fn cancel_batch_task(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = caller.run(async move |ctx| batch_tasks::cancel(&ctx, id).await).await?;
    answer::ok(&view)
}

/// Retry the failed targets of a batch task
///
/// Sends each of them again under the pacing: its run is retried with the steps that it has finished, or
/// replayed where those alone decide its failure. The batch runs again. Operators and higher roles may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "retry_batch_task",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The batch as it is now.", body = BatchTaskView)),
    extensions(("x-permission" = json!("batch-tasks:operate"))),
)]
#[post("/v1/batch-tasks/{id}/retry")]
async fn retry_batch_task(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let view = caller.run(async move |ctx| batch_tasks::retry(&ctx, id).await).await?;
    answer::ok(&view)
}

/// Export the results of a batch task
///
/// Each target with what became of it, in the order of upload, as JSON lines or CSV. Go on with the last line's
/// `number` as `after`. An export that fails half-way ends without its last chunk. Every member may.
#[utoipa::path(
    tag = "Batch tasks",
    operation_id = "export_batch_results",
    params(("id" = Uuid, Path, description = "The batch."), ResultFilter),
    responses((status = 200, description = "The targets, one a line.", content(
        (ResultRow = "application/jsonl"),
        (String = "text/csv"),
    ))),
    extensions(("x-permission" = json!("batch-tasks:read"))),
)]
#[get("/v1/batch-tasks/{id}/results")]
async fn export_batch_results(
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(filter): Query<ResultFilter>,
) -> Result<HttpResponse, HttpError> {
    let open = async move |ctx| task_targets::results(ctx, id, filter).await;
    match filter.format {
        ResultFormat::Jsonl => lines::json(caller, open).await,
        ResultFormat::Csv => lines::csv(caller, &ResultRow::COLUMNS, ResultRow::cells, open).await,
    }
}
