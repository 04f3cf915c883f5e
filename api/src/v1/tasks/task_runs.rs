//! `/v1/task-runs`: create, watch, cancel, retry, replay.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, get, post};
use futures_util::StreamExt as _;
use serde::Deserialize;
use service::auth::permissions::task_runs::{Cancel, Read, Retry, Write};
use service::crud::Paging;
use service::error::Error;
use service::tasks::task_runs::{
    self, CreateTaskRun, EventFilter, EventPage, ReplayTaskRun, RunEventView, TaskRunFilter, TaskRunPage,
    TaskRunTree, TaskRunView,
};
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::HttpError;
use crate::extract::{Can, Json, Path, Query};
use crate::sse;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(create_task_run)
        .service(list_task_runs)
        .service(get_task_run)
        .service(get_task_run_tree)
        .service(cancel_task_run)
        .service(retry_task_run)
        .service(replay_task_run)
        .service(list_run_events);
}

/// How long to wait for the run to end.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Seconds to wait for the run to end before answering; 0 answers at once.
    #[param(minimum = 0, maximum = 60, default = 0)]
    wait: Option<u64>,
}

impl Wait {
    pub(super) fn duration(self) -> Option<Duration> {
        self.wait.filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }
}

/// Create a task run
///
/// Accepts a run of a task definition, or of an agent as it is, and starts it as soon as the tenant's
/// turn comes. What is accepted is durable. With `wait`, answers 201 once the run has ended, or 202
/// with the run as it is when the wait is over. A live run with the same `dedupeKey` is answered instead.
/// Operators and higher roles may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "create_task_run",
    params(Wait),
    request_body = CreateTaskRun,
    responses(
        (status = 201, description = "The run, ended if it was waited for.", body = TaskRunView,
            headers(("Location" = String, description = "Where the run is."))),
        (status = 202, description = "The run, which had not ended when the wait was over.", body = TaskRunView,
            headers(("Location" = String, description = "Where the run is."))),
    ),
    extensions(("x-permission" = json!("task-runs:write"))),
)]
#[post("/v1/task-runs")]
async fn create_task_run(
    caller: Can<Write>,
    Query(wait): Query<Wait>,
    Json(body): Json<CreateTaskRun>,
) -> Answer {
    let wait = wait.duration();
    let run = caller
        .run_waiting(wait.unwrap_or_default(), async move |ctx| {
            let submitted = task_runs::create(&ctx, body).await?;
            finish(&ctx, submitted, wait).await
        })
        .await?;
    submitted(&run, wait)
}

async fn finish(
    ctx: &service::ctx::Ctx,
    submitted: task_runs::Submitted,
    wait: Option<Duration>,
) -> Result<TaskRunView, Error> {
    match wait {
        None => Ok(submitted.run),
        Some(longest) => task_runs::wait(ctx, submitted, longest).await,
    }
}

fn submitted(run: &TaskRunView, wait: Option<Duration>) -> Answer {
    let location = format!("/v1/task-runs/{}", run.id);
    if wait.is_some() && !run.status.is_terminal() {
        answer::accepted(location, run)
    } else {
        answer::created(location, run)
    }
}

/// List task runs
///
/// The tenant's runs, newest first. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "list_task_runs",
    params(Paging, TaskRunFilter),
    responses((status = 200, description = "One page.", body = TaskRunPage)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/task-runs")]
async fn list_task_runs(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<TaskRunFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| task_runs::list(&ctx, &paging, filter).await).await?;
    answer::ok(&TaskRunPage::from(page))
}

/// Get a task run
///
/// The run as it is now. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "get_task_run",
    params(("id" = Uuid, Path, description = "The run.")),
    responses((status = 200, description = "The run.", body = TaskRunView)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/task-runs/{id}")]
async fn get_task_run(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let run = caller.run(async move |ctx| task_runs::get(&ctx, id).await).await?;
    answer::ok(&run)
}

/// Get a run with all that it started
///
/// The run, its children, theirs, and so on, each followed by its own: the steps of a graph, and the agents
/// that an agent called. A tree has at most about a thousand runs, so it comes as a whole. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "get_task_run_tree",
    params(("id" = Uuid, Path, description = "The run.")),
    responses((status = 200, description = "The run and all below it.", body = TaskRunTree)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/task-runs/{id}/tree")]
async fn get_task_run_tree(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let tree = caller.run(async move |ctx| task_runs::tree(&ctx, id).await).await?;
    answer::ok(&tree)
}

/// Cancel a task run
///
/// Ends a queued or waiting run at once (200). A running one is told to stop and starts no new model or
/// tool call (202); it is CANCELLED when its executor agrees, at the latest after thirty seconds. So are all
/// that it started, and all that those did (`BY_PARENT`). Cancelling twice changes nothing. A run that has ended is 409. Operators and higher roles may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "cancel_task_run",
    params(("id" = Uuid, Path, description = "The run.")),
    responses(
        (status = 200, description = "The run is cancelled.", body = TaskRunView),
        (status = 202, description = "The run is executing and was told to stop.", body = TaskRunView),
    ),
    extensions(("x-permission" = json!("task-runs:cancel"))),
)]
#[post("/v1/task-runs/{id}/cancel")]
async fn cancel_task_run(caller: Can<Cancel>, Path(id): Path<Uuid>) -> Answer {
    let run = caller.run(async move |ctx| task_runs::cancel(&ctx, id).await).await?;
    if run.status.is_terminal() {
        answer::ok(&run)
    } else {
        answer::accepted(format!("/v1/task-runs/{id}"), &run)
    }
}

/// Retry a task run
///
/// Queues a failed or cancelled run again: the same run with its history. Finished steps are neither
/// executed nor paid again. A run in another state is 409; so is one whose finished steps alone decide its
/// failure (`not_retryable`: an output that does not fit its schema, a model that went round in circles,
/// a ONCE call that a reviewer does not repeat): replay that one. With a graph its failed steps are queued
/// again, and the others are kept. A run that another one started is retried with that one (`child_run`), and
/// not before all that it started has ended (`children_live`). Operators and higher roles may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "retry_task_run",
    params(("id" = Uuid, Path, description = "The run.")),
    responses((status = 200, description = "The run is queued again.", body = TaskRunView)),
    extensions(("x-permission" = json!("task-runs:retry"))),
)]
#[post("/v1/task-runs/{id}/retry")]
async fn retry_task_run(caller: Can<Retry>, Path(id): Path<Uuid>) -> Answer {
    let run = caller.run(async move |ctx| task_runs::retry(&ctx, id).await).await?;
    answer::ok(&run)
}

/// Replay a task run
///
/// Creates a new run like a finished one, with `replayOf` set; the body may name another input, another
/// version of the agent, or the step of a graph from which on everything is made again: what ended before it is
/// taken over. A live run is 409. Operators and higher roles may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "replay_task_run",
    params(("id" = Uuid, Path, description = "The run to replay."), Wait),
    request_body = ReplayTaskRun,
    responses(
        (status = 201, description = "The new run, ended if it was waited for.", body = TaskRunView,
            headers(("Location" = String, description = "Where the run is."))),
        (status = 202, description = "The new run, which had not ended when the wait was over.", body = TaskRunView,
            headers(("Location" = String, description = "Where the run is."))),
    ),
    extensions(("x-permission" = json!("task-runs:write"))),
)]
#[post("/v1/task-runs/{id}/replay")]
async fn replay_task_run(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    Query(wait): Query<Wait>,
    Json(body): Json<ReplayTaskRun>,
) -> Answer {
    let wait = wait.duration();
    let run = caller
        .run_waiting(wait.unwrap_or_default(), async move |ctx| {
            let submitted = task_runs::replay(&ctx, id, body).await?;
            finish(&ctx, submitted, wait).await
        })
        .await?;
    submitted(&run, wait)
}

/// List a run's events, or follow them
///
/// With `Accept: text/event-stream` a stream of server-sent events: what was stored after `after` (or
/// `Last-Event-ID`), then what comes, until the run has ended. The id of an event is its `seq`. With
/// any other `Accept`, one page in JSON. A stream whose credential expires or is revoked ends with an
/// `error` event that holds the problem. With `children=true` the events of all runs below come too, in the
/// order in which they were committed, until all have ended: `runId` says whose an event is, and the id of an
/// event, `nextCursor` and `cursor` are then `position-runId-seq`, which says of each run how far it was given.
/// What is gone on with behind such an id comes once, on whichever node. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "list_run_events",
    params(
        ("id" = Uuid, Path, description = "The run."),
        EventFilter,
        ("Last-Event-ID" = Option<String>, Header, description = "The stream goes on behind this event."),
    ),
    responses((status = 200, description = "The events.", content(
        (EventPage = "application/json"),
        (String = "text/event-stream"),
    ))),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/task-runs/{id}/events")]
async fn list_run_events(
    request: HttpRequest,
    caller: Can<Read>,
    Path(id): Path<Uuid>,
    Query(mut filter): Query<EventFilter>,
) -> Result<HttpResponse, HttpError> {
    if !sse::is_wanted(&request) {
        let page = caller.run(async move |ctx| task_runs::list_events(&ctx, id, &filter).await).await?;
        return answer::ok(&page);
    }
    if filter.with_children() {
        if let Some(last) = sse::last_event(&request)? {
            filter.cursor = Some(last);
        }
        return sse::stream(&request, caller, async move |ctx| {
            let events = task_runs::follow_tree(ctx, id, filter).await?;
            Ok(events.map(|event| event.and_then(|(place, event)| sent(place, event))))
        })
        .await;
    }
    if let Some(last) = sse::last_event_id(&request)? {
        filter.after = Some(last);
    }
    sse::stream(&request, caller, async move |ctx| {
        let events = task_runs::follow(ctx, id, filter).await?;
        Ok(events.map(|event| event.and_then(|event| sent(event.seq.to_string(), event))))
    })
    .await
}

fn sent(id: String, event: RunEventView) -> Result<sse::Event, Error> {
    let data = serde_json::to_string(&event).map_err(Error::internal)?;
    Ok(sse::Event { id: Some(id), event: event.kind, data })
}
