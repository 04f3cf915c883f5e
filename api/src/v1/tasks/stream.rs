//! `/v1/stream`: what happens in all runs of the tenant.

use actix_web::{HttpRequest, HttpResponse, get};
use futures_util::StreamExt as _;
use serde::Serialize;
use service::auth::permissions::task_runs::Read;
use service::error::Error;
use service::tasks::stream::{self, StreamFilter, StreamPage, Told};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer;
use crate::error::HttpError;
use crate::extract::{Can, Query};
use crate::sse;

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_stream);
}

/// Follow all runs
///
/// The events of all runs that the caller sees, which tell each change of a run's status, in the order in which
/// they were committed on any node. With `Accept: text/event-stream` a stream of server-sent events that does not
/// end: what comes from now on, or what is behind `after` (or `Last-Event-ID`), each once. The id of an event is
/// opaque; it also moves, in a comment, while nothing happens that is asked for. One can go on behind an id for
/// an hour: where that is over, the stream begins with an event `stream.gap` and goes on from now. With any other
/// `Accept`, one page in JSON: what is behind `after`, or without it the newest. A key that is limited to agents
/// or to a workspace is given their runs only. Every member may.
#[utoipa::path(
    tag = "Task runs",
    operation_id = "get_stream",
    params(
        StreamFilter,
        ("Last-Event-ID" = Option<String>, Header, description = "The stream goes on behind this event."),
    ),
    responses((status = 200, description = "The events.", content(
        (StreamPage = "application/json"),
        (String = "text/event-stream"),
    ))),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[get("/v1/stream")]
async fn get_stream(
    request: HttpRequest,
    caller: Can<Read>,
    Query(mut filter): Query<StreamFilter>,
) -> Result<HttpResponse, HttpError> {
    if !sse::is_wanted(&request) {
        let page = caller.run(async move |ctx| stream::list(&ctx, &filter).await).await?;
        return answer::ok(&page);
    }
    if let Some(last) = sse::last_event(&request)? {
        filter.after = Some(last);
    }
    sse::stream(&request, caller, async move |ctx| {
        let told = stream::follow(ctx, filter).await?;
        Ok(told.map(|told| told.and_then(sent)))
    })
    .await
}

fn sent(told: Told) -> Result<sse::Event, Error> {
    match told {
        Told::Event(id, view) => event(id, view.kind.clone(), &view),
        Told::Gap(id, gap) => event(id, "stream.gap".to_owned(), &gap),
        Told::Place(id) => Ok(sse::Event::place(id)),
    }
}

fn event(id: String, event: String, data: &impl Serialize) -> Result<sse::Event, Error> {
    let data = serde_json::to_string(data).map_err(Error::internal)?;
    Ok(sse::Event { id: Some(id), event, data })
}
