//! `/v1/task-definitions`: what to run, and how; pause and resume it.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::task_definitions::{Operate, Read, Write};
use service::crud::Paging;
use service::tasks::task_definitions::{
    self, CreateTaskDefinition, PauseTaskDefinition, TaskDefinitionFilter, TaskDefinitionPage,
    TaskDefinitionView, UpdateTaskDefinition,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, OptionalJson, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_task_definitions)
        .service(create_task_definition)
        .service(get_task_definition)
        .service(update_task_definition)
        .service(delete_task_definition)
        .service(pause_task_definition)
        .service(resume_task_definition);
}

/// List task definitions
///
/// What is to be done, newest first. Every member may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "list_task_definitions",
    params(Paging, TaskDefinitionFilter),
    responses((status = 200, description = "One page.", body = TaskDefinitionPage)),
    extensions(("x-permission" = json!("task-definitions:read"))),
)]
#[get("/v1/task-definitions")]
async fn list_task_definitions(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<TaskDefinitionFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| task_definitions::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&TaskDefinitionPage::from(page))
}

/// Create a task definition
///
/// Says what to run, an agent or a tool, and how its runs are checked, retried, timed and ordered. Schemas
/// and templates are compiled now, so that a run fails for its input only. Managers and higher roles may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "create_task_definition",
    request_body(content = CreateTaskDefinition, example = json!({
        "name": "Summarise a ticket",
        "type": "AUTOMATION",
        "agentId": "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
        "config": {
            "inputSchema": {"type": "object", "required": ["ticket"], "properties": {"ticket": {"type": "string"}}},
            "retry": {"maxAttempts": 3, "backoff": "EXPONENTIAL"},
            "timeouts": {"attemptSeconds": 120},
        },
    })),
    responses(
        (status = 201, description = "The new task definition.", body = TaskDefinitionView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("task-definitions:write"))),
)]
#[post("/v1/task-definitions")]
async fn create_task_definition(caller: Can<Write>, Json(body): Json<CreateTaskDefinition>) -> Answer {
    let created = caller.run(async move |ctx| task_definitions::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/task-definitions/{}", created.id), &created, created.revision)
}

/// Get a task definition
///
/// The task definition as it is now. Every member may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "get_task_definition",
    params(("id" = Uuid, Path, description = "The task definition.")),
    responses((status = 200, description = "The task definition.", body = TaskDefinitionView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("task-definitions:read"))),
)]
#[get("/v1/task-definitions/{id}")]
async fn get_task_definition(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| task_definitions::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change a task definition
///
/// A merge patch, `config` included. Runs that exist keep the definition they were created with. Managers and higher roles may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "update_task_definition",
    params(("id" = Uuid, Path, description = "The task definition.")),
    request_body(content = UpdateTaskDefinition, example = json!({"isActive": false, "config": {"retry": {"maxAttempts": 1}}})),
    responses((status = 200, description = "The task definition as it is now.", body = TaskDefinitionView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("task-definitions:write"))),
)]
#[patch("/v1/task-definitions/{id}")]
async fn update_task_definition(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateTaskDefinition>,
) -> Answer {
    let updated =
        caller.run(async move |ctx| task_definitions::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete a task definition
///
/// Its name is free at once; its runs stay. Managers and higher roles may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "delete_task_definition",
    params(("id" = Uuid, Path, description = "The task definition.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("task-definitions:write"))),
)]
#[delete("/v1/task-definitions/{id}")]
async fn delete_task_definition(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Answer {
    caller.run(async move |ctx| task_definitions::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// Pause a task definition
///
/// It starts nothing, at no node and no worker, until it is resumed. New runs are accepted and queued, whoever asks
/// for them: callers, schedules, hooks, events, batches, parents. What executes goes on to the end of its attempt;
/// a run that waits, or is tried again, goes on after the resume. Runs that wait expire as ever. For one that is
/// paused it is 409 `invalid_transition`. Operators and higher roles may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "pause_task_definition",
    params(("id" = Uuid, Path, description = "The task definition.")),
    request_body(content = Option<PauseTaskDefinition>, example = json!({"reason": "The supplier's API is down."})),
    responses((status = 200, description = "The paused task definition.", body = TaskDefinitionView)),
    extensions(("x-permission" = json!("task-definitions:operate"))),
)]
#[post("/v1/task-definitions/{id}/pause")]
async fn pause_task_definition(
    caller: Can<Operate>,
    Path(id): Path<Uuid>,
    OptionalJson(body): OptionalJson<PauseTaskDefinition>,
) -> Answer {
    let paused = caller.run(async move |ctx| task_definitions::pause(&ctx, id, body).await).await?;
    answer::tagged(&paused, paused.revision)
}

/// Resume a task definition
///
/// Its queued runs start again, each where it stood; thousands are let back in the background. For one that is not
/// paused it is 409 `invalid_transition`. An emergency stop goes on holding them. Operators and higher roles may.
#[utoipa::path(
    tag = "Task definitions",
    operation_id = "resume_task_definition",
    params(("id" = Uuid, Path, description = "The task definition.")),
    responses((status = 200, description = "The resumed task definition.", body = TaskDefinitionView)),
    extensions(("x-permission" = json!("task-definitions:operate"))),
)]
#[post("/v1/task-definitions/{id}/resume")]
async fn resume_task_definition(caller: Can<Operate>, Path(id): Path<Uuid>) -> Answer {
    let resumed = caller.run(async move |ctx| task_definitions::resume(&ctx, id).await).await?;
    answer::tagged(&resumed, resumed.revision)
}
