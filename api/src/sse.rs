//! Server-sent events. A stream's work runs on the main runtime and reaches the caller through a
//! bounded channel, so that a caller who does not read holds back only their own stream. A stream
//! does not outlive its credential.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::header::{self, ContentEncoding};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use service::auth::permissions::Permission;
use service::auth::principal::{Credential, Principal, authenticate};
use service::auth::sight::View;
use service::core::Core;
use service::ctx::Ctx;
use service::error::Error;
use tokio::sync::mpsc;

use crate::error::{HttpError, Problem};
use crate::extract::{Authenticated, Can};
use crate::gate::Gate;
use crate::middleware::credential;

/// How often an open stream looks at its credential again.
const RECHECK: Duration = Duration::from_secs(1);
const LONGEST_ID: usize = 80;
const PING: Duration = Duration::from_secs(15);
/// Events that wait for a slow reader.
const BUFFERED: usize = 64;
/// A reader that takes nothing for so long is dropped; it may resume from its last id.
const STALLED: Duration = Duration::from_secs(30);

/// Whether the caller accepts a stream.
pub fn is_wanted(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// The id of the last event that the caller saw.
///
/// # Errors
/// 422 at `Last-Event-ID`.
pub fn last_event(request: &HttpRequest) -> Result<Option<String>, Error> {
    let Some(last) = request.headers().get("Last-Event-ID") else { return Ok(None) };
    let text = last.to_str().ok().filter(|text| text.len() <= LONGEST_ID);
    let wrong = || Error::invalid("Last-Event-ID", "range", "must be the id of an event of this stream");
    text.map(|text| Some(text.to_owned())).ok_or_else(wrong)
}

/// The number of the last event that the caller saw, where events are numbered.
///
/// # Errors
/// 422 at `Last-Event-ID`.
pub fn last_event_id(request: &HttpRequest) -> Result<Option<i64>, Error> {
    let Some(last) = request.headers().get("Last-Event-ID") else { return Ok(None) };
    let number = last.to_str().ok().and_then(|last| last.parse().ok()).filter(|number| *number >= 0);
    let wrong = || Error::invalid("Last-Event-ID", "range", "must be the id of an event of this stream");
    number.map(Some).ok_or_else(wrong)
}

/// One event. `data` may have several lines; `id` and `event` have one.
pub struct Event {
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

impl Event {
    /// No event: a comment that moves the id behind which the reader goes on.
    pub fn place(id: String) -> Self {
        Self { id: Some(id), event: String::new(), data: String::new() }
    }

    fn encode(&self) -> Bytes {
        if let (Some(id), true) = (&self.id, self.event.is_empty()) {
            return Bytes::from(format!(": ping\nid: {}\n\n", one_line(id)));
        }
        let mut text = String::with_capacity(self.data.len() + 64);
        if let Some(id) = &self.id {
            text.push_str(&format!("id: {}\n", one_line(id)));
        }
        text.push_str(&format!("event: {}\n", one_line(&self.event)));
        for line in self.data.split('\n') {
            text.push_str(&format!("data: {}\n", line.trim_end_matches('\r')));
        }
        text.push('\n');
        Bytes::from(text)
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], "")
}

/// Answers with the stream that `open` gives. Errors of `open` are ordinary answers; a later one is
/// an `error` event with a problem, and the end; so is a credential that expires or is revoked, or
/// loses the permission, or sees other workspaces than before.
pub async fn stream<P, W, F, S>(
    request: &HttpRequest,
    can: Can<P>,
    open: W,
) -> Result<HttpResponse, HttpError>
where
    P: Permission,
    W: FnOnce(Ctx) -> F,
    F: Future<Output = Result<S, Error>> + Send + 'static,
    S: Stream<Item = Result<Event, Error>> + Send + 'static,
{
    answer(request, can.into_parts(), |principal| principal.rights.require::<P>(), open).await
}

/// As [`stream`], for what is the caller's own and needs no permission.
pub async fn stream_own<W, F, S>(
    request: &HttpRequest,
    caller: Authenticated,
    open: W,
) -> Result<HttpResponse, HttpError>
where
    W: FnOnce(Ctx) -> F,
    F: Future<Output = Result<S, Error>> + Send + 'static,
    S: Stream<Item = Result<Event, Error>> + Send + 'static,
{
    answer(request, caller.into_parts(), |_| Ok(()), open).await
}

type Check = fn(&Principal) -> Result<(), Error>;

async fn answer<W, F, S>(
    request: &HttpRequest,
    (ctx, gate): (Ctx, Gate),
    check: Check,
    open: W,
) -> Result<HttpResponse, HttpError>
where
    W: FnOnce(Ctx) -> F,
    F: Future<Output = Result<S, Error>> + Send + 'static,
    S: Stream<Item = Result<Event, Error>> + Send + 'static,
{
    let place = gate.streams.take(&ctx)?;
    let request_id = ctx.request_id.clone();
    let credential = credential(request.headers()).transpose()?;
    let (view, ip) = (ctx.view.clone(), ctx.ip);
    let events = gate.run(Duration::ZERO, open(ctx).boxed()).await?;
    let (sender, receiver) = mpsc::channel(BUFFERED);
    let draining = gate.draining.clone();
    let core = gate.core.clone();
    drop(gate.spawn(async move {
        let _place = place;
        let refused = refusal(&core, credential.as_ref(), &view, ip, check);
        tokio::select! {
            () = draining.cancelled() => {}
            () = sender.closed() => {}
            error = refused => {
                let _ = sender.send_timeout(failure(error, &request_id).encode(), STALLED).await;
            }
            () = forward(events, &sender, &request_id) => {}
        }
    }));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        // Tells the compressor to leave the stream alone.
        .insert_header(ContentEncoding::Identity)
        .streaming(body(receiver)))
}

/// Ends once the caller may no longer read: what the credential comes to is asked again and again,
/// through the cache of authentication. A database that does not answer refuses nobody.
async fn refusal(
    core: &Core,
    credential: Option<&Credential>,
    view: &View,
    ip: Option<IpAddr>,
    check: Check,
) -> Error {
    let Some(credential) = credential else {
        return Error::internal("a stream was opened without a credential");
    };
    let mut again = tokio::time::interval(RECHECK);
    loop {
        again.tick().await;
        let principal = authenticate(core, credential).await;
        let checked = principal.and_then(|principal| {
            principal.admit(ip)?;
            check(&principal)?;
            if view.differs(&principal.sight) { Err(sight_changed()) } else { Ok(()) }
        });
        if let Err(error) = checked
            && is_refusal(&error)
        {
            return error;
        }
    }
}

/// A stream was opened for what its caller saw then.
fn sight_changed() -> Error {
    Error::conflict("sight_changed", "The workspaces that you see have changed: open the stream again.")
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Unauthenticated { .. }
            | Error::Forbidden { .. }
            | Error::Denied { .. }
            | Error::Conflict { .. }
    )
}

async fn forward<S>(events: S, sender: &mpsc::Sender<Bytes>, request_id: &str)
where
    S: Stream<Item = Result<Event, Error>>,
{
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let (event, last) = match event {
            Ok(event) => (event, false),
            Err(error) => (failure(error, request_id), true),
        };
        if sender.send_timeout(event.encode(), STALLED).await.is_err() || last {
            return;
        }
    }
}

fn failure(error: Error, request_id: &str) -> Event {
    let error = HttpError::from(error);
    if let Some(cause) = error.cause() {
        tracing::error!(request_id, %cause, "an event stream failed");
    }
    let data = serde_json::to_string(&Problem::of(&error, request_id)).unwrap_or_default();
    Event { id: None, event: "error".into(), data }
}

fn body(mut receiver: mpsc::Receiver<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        loop {
            match tokio::time::timeout(PING, receiver.recv()).await {
                Ok(Some(event)) => yield Ok(event),
                Ok(None) => return,
                Err(_) => yield Ok(Bytes::from_static(b": ping\n\n")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_lines_and_their_frame() {
        let event = Event { id: Some("4\n2".into()), event: "run.delta".into(), data: "a\nb".into() };
        assert_eq!(event.encode(), "id: 42\nevent: run.delta\ndata: a\ndata: b\n\n");
        assert_eq!(Event::place("7\n".into()).encode(), ": ping\nid: 7\n\n");
    }

    #[tokio::test]
    async fn a_failure_ends_the_stream_with_a_problem() {
        let (sender, mut receiver) = mpsc::channel(8);
        let good = Event { id: Some("1".into()), event: "run.started".into(), data: "{}".into() };
        let events = futures_util::stream::iter([Ok(good), Err(Error::internal("secret cause"))]);
        forward(events, &sender, "r1").await;
        drop(sender);
        assert!(receiver.recv().await.unwrap().starts_with(b"id: 1\n"));
        let last = String::from_utf8(receiver.recv().await.unwrap().to_vec()).unwrap();
        assert!(last.starts_with("event: error\n") && last.contains("r1") && !last.contains("secret"));
        assert!(receiver.recv().await.is_none());
    }
}
