//! Response bodies, cut at their cap as they arrive: a declared length is only a hint.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, timeout_at};

use super::after;
use super::error::EgressError;
use super::exchange::Answer;

/// The whole body, at most `limit` bytes, by `deadline`.
pub(super) async fn collect(
    mut answer: Answer,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, EgressError> {
    if answer.response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(EgressError::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = chunk(&mut answer, deadline).await? {
        if chunk.len() > limit - body.len() {
            return Err(EgressError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The body as it arrives: at most `limit` bytes, never silent for longer than `silence`.
pub(super) fn stream(
    mut answer: Answer,
    limit: usize,
    silence: Duration,
) -> BoxStream<'static, Result<Bytes, EgressError>> {
    async_stream::try_stream! {
        let mut left = limit;
        while let Some(chunk) = chunk(&mut answer, after(silence)).await? {
            left = left.checked_sub(chunk.len()).ok_or(EgressError::TooLarge { limit })?;
            yield chunk;
        }
    }
    .boxed()
}

async fn chunk(answer: &mut Answer, deadline: Instant) -> Result<Option<Bytes>, EgressError> {
    match timeout_at(deadline, answer.response.chunk()).await {
        Ok(chunk) => chunk.map_err(|error| EgressError::of_client(&error, &answer.host)),
        Err(_) => Err(EgressError::Timeout),
    }
}
