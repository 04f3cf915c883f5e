//! JSON lines and CSV of unknown length: read on the main runtime a little ahead of a caller who takes them, and
//! never far. A failure half-way breaks the answer off, so that no caller takes a part for the whole.

use std::future::Future;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use serde::Serialize;
use service::auth::permissions::Permission;
use service::ctx::Ctx;
use service::error::Error;
use tokio::sync::mpsc;

use crate::error::HttpError;
use crate::extract::Can;

/// Chunks that wait for a slow reader.
const BUFFERED: usize = 8;
const CHUNK: usize = 32 << 10;
/// A reader that takes nothing for so long is dropped.
const STALLED: Duration = Duration::from_secs(30);

/// Answers with what `open` gives, as JSON, one a line. Errors of `open` are ordinary answers.
pub async fn json<P, W, F, S, T>(can: Can<P>, open: W) -> Result<HttpResponse, HttpError>
where
    P: Permission,
    W: FnOnce(Ctx) -> F,
    F: Future<Output = Result<S, Error>> + Send + 'static,
    S: Stream<Item = Result<T, Error>> + Send + 'static,
    T: Serialize + Send + 'static,
{
    let write = |row: &T, chunk: &mut Vec<u8>| -> Result<(), Error> {
        serde_json::to_writer(&mut *chunk, row).map_err(Error::internal)?;
        chunk.push(b'\n');
        Ok(())
    };
    stream(can, open, "application/jsonl", Vec::new(), write).await
}

/// The same as CSV, below a header row.
pub async fn csv<P, W, F, S, T, const N: usize>(
    can: Can<P>,
    header: &[&str; N],
    cells: fn(&T) -> [String; N],
    open: W,
) -> Result<HttpResponse, HttpError>
where
    P: Permission,
    W: FnOnce(Ctx) -> F,
    F: Future<Output = Result<S, Error>> + Send + 'static,
    S: Stream<Item = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let mut first = Vec::new();
    record(header, &mut first)?;
    let write = move |row: &T, chunk: &mut Vec<u8>| record(&cells(row), chunk);
    stream(can, open, "text/csv; charset=utf-8", first, write).await
}

fn record(cells: &[impl AsRef<[u8]>], chunk: &mut Vec<u8>) -> Result<(), Error> {
    let mut writer = csv::Writer::from_writer(chunk);
    writer.write_record(cells).map_err(Error::internal)?;
    writer.flush().map_err(Error::internal)
}

async fn stream<P, W, F, S, T>(
    can: Can<P>,
    open: W,
    content_type: &'static str,
    first: Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>) -> Result<(), Error> + Send + Sync + 'static,
) -> Result<HttpResponse, HttpError>
where
    P: Permission,
    W: FnOnce(Ctx) -> F,
    F: Future<Output = Result<S, Error>> + Send + 'static,
    S: Stream<Item = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let (ctx, gate) = can.into_parts();
    let place = gate.streams.take(&ctx)?;
    let rows = gate.run(Duration::ZERO, open(ctx).boxed()).await?;
    let (sender, mut receiver) = mpsc::channel(BUFFERED);
    drop(gate.spawn(async move {
        let _place = place;
        if let Err(error) = forward(rows, first, &write, &sender).await {
            tracing::error!(%error, "an export failed");
            let _ = sender.send_timeout(Err(error), STALLED).await;
        }
    }));
    let body = async_stream::stream! {
        while let Some(chunk) = receiver.recv().await {
            yield chunk;
        }
    };
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(body))
}

async fn forward<S, T>(
    rows: S,
    first: Vec<u8>,
    write: &(impl Fn(&T, &mut Vec<u8>) -> Result<(), Error> + Sync),
    sender: &mpsc::Sender<Result<Bytes, Error>>,
) -> Result<(), Error>
where
    S: Stream<Item = Result<T, Error>>,
{
    let mut rows = std::pin::pin!(rows);
    let mut chunk = first;
    while let Some(row) = rows.next().await {
        write(&row?, &mut chunk)?;
        // A caller who is gone, or takes nothing, gets no more.
        if chunk.len() >= CHUNK
            && sender.send_timeout(Ok(std::mem::take(&mut chunk).into()), STALLED).await.is_err()
        {
            return Ok(());
        }
    }
    let _ = sender.send_timeout(Ok(chunk.into()), STALLED).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_half_way_breaks_the_answer_off() {
        let (sender, mut receiver) = mpsc::channel(8);
        let write = |row: &&str, chunk: &mut Vec<u8>| record(&[row], chunk);
        let rows = futures_util::stream::iter([Ok("a"), Ok("b"), Err(Error::internal("gone"))]);
        assert!(forward(rows, Vec::new(), &write, &sender).await.is_err());
        let rows = futures_util::stream::iter([Ok("a"), Ok("b")]);
        forward(rows, Vec::new(), &write, &sender).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "a\nb\n");
    }
}
