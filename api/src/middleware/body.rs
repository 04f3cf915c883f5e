//! Reads the body to its end before the handler, within bounds of size and of time: the framework's
//! timers cover the request's head only.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::middleware::Next;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::time::{Instant, timeout_at};

use super::identify::Caller;
use super::{Answer, boxed, refuse, routed_path};
use crate::error::HttpError;
use crate::extract::Body;

const MOST: usize = 1 << 20;
/// Of the targets of a batch, which are read as they come.
const MOST_TARGETS: usize = 16 << 20;
/// Enough to sign in.
const MOST_UNKNOWN: usize = 64 << 10;
const TOTAL: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: f64 = 1024.0;

pub async fn buffer(mut request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
    let known = matches!(request.extensions().get::<Caller>(), Some(Caller::Known(_)));
    // What the senders of hooks prove is in the body.
    let to_hook = routed_path(request.request()).starts_with("/v1/hooks/");
    let most = match known {
        true if takes_targets(&request) => MOST_TARGETS,
        true => MOST,
        false if to_hook => MOST,
        false => MOST_UNKNOWN,
    };
    let declared =
        request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > most) {
        return refuse(request, too_large(most));
    }
    let payload = request.take_payload();
    match read(payload, most, Instant::now()).await {
        Ok(bytes) if bytes.is_empty() => {}
        Ok(bytes) => {
            request.extensions_mut().insert(Body(bytes));
        }
        Err(error) => return refuse(request, error),
    }
    next.call(request).await.map(boxed)
}

fn takes_targets(request: &ServiceRequest) -> bool {
    let path = routed_path(request.request());
    path.starts_with("/v1/batch-tasks/") && path.ends_with("/targets")
}

/// By when the next bytes must come: a rate of 1 KiB/s after the first seconds, and a total.
fn due(started: Instant, received: usize) -> Instant {
    #[expect(clippy::cast_precision_loss, reason = "bodies are far below 2^52 bytes")]
    let earned = Duration::from_secs_f64(received as f64 / BYTES_PER_SECOND);
    started + (GRACE + earned).min(TOTAL)
}

async fn read(payload: Payload, most: usize, started: Instant) -> Result<Bytes, HttpError> {
    let mut payload = payload;
    let mut body = BytesMut::new();
    loop {
        let next = poll_fn(|context| Pin::new(&mut payload).poll_next(context));
        let chunk = timeout_at(due(started, body.len()), next).await.map_err(|_| {
            HttpError::new("request_timeout", "The body must come at 1 KiB/s or more, within 30 s.")
                .and_close()
        })?;
        let Some(chunk) = chunk else { return Ok(body.freeze()) };
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => too_large(most),
            _ => HttpError::new("bad_request", "The body cannot be read.").and_close(),
        })?;
        if body.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        body.extend_from_slice(&chunk);
    }
}

fn too_large(most: usize) -> HttpError {
    HttpError::new("payload_too_large", format!("The body may have at most {most} bytes.")).and_close()
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    fn chunks(count: usize, size: usize, every: Duration) -> Payload {
        let chunks = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok(Bytes::from(vec![b'x'; size]))
        });
        Payload::Stream { payload: Box::pin(chunks) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_cut_and_a_steady_one_is_not() {
        let second = Duration::from_secs(1);
        let slow = read(chunks(1000, 100, second), MOST, Instant::now()).await.unwrap_err();
        assert_eq!(slow.code, "request_timeout");
        let steady = read(chunks(20, 1100, second), MOST, Instant::now()).await.unwrap();
        assert_eq!(steady.len(), 22_000);
        let endless = read(chunks(1000, 2000, second), MOST, Instant::now()).await.unwrap_err();
        assert_eq!(endless.code, "request_timeout");
    }

    #[tokio::test]
    async fn size_is_measured_while_reading() {
        let refused = read(chunks(3, 100, Duration::ZERO), 250, Instant::now()).await.unwrap_err();
        assert_eq!(refused.status.as_u16(), 413);
        assert_eq!(read(chunks(3, 100, Duration::ZERO), 300, Instant::now()).await.unwrap().len(), 300);
    }
}
