//! What the stand-in answers: as OpenAI would, or as servers do that keep to less.

use std::io;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the stand-in does with a request.
pub enum Reply {
    /// Server-sent frames, each a JSON text or `[DONE]`; a moment passes between them.
    Frames(Vec<String>),
    /// The first frame, and then nothing until the stand-in is told to release it.
    Held(Vec<String>),
    Raw(Raw),
}

/// An answer as bytes, each chunk sent by itself.
pub struct Raw {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub chunks: Vec<Vec<u8>>,
    pub end: End,
}

/// What follows the last chunk.
#[derive(Clone, Copy)]
pub enum End {
    Whole,
    /// The connection breaks.
    Cut,
    /// Nothing, for ever.
    Silence,
    /// Nothing until the stand-in is told to release it.
    Held,
}

impl Raw {
    /// A stream of these bytes.
    pub fn stream(text: &str) -> Self {
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        Self { status: 200, headers, chunks: vec![text.as_bytes().to_vec()], end: End::Whole }
    }

    /// The frames as a stream.
    pub fn frames(frames: &[String]) -> Self {
        Self::stream(&frames.iter().map(|frame| format!("data: {frame}\n\n")).collect::<String>())
    }

    /// JSON in one piece.
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, chunks: vec![body.to_string().into_bytes()], end: End::Whole }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }

    /// The same bytes in chunks of so many.
    pub fn split(self, size: usize) -> Self {
        let bytes = self.chunks.concat();
        Self { chunks: bytes.chunks(size).map(<[u8]>::to_vec).collect(), ..self }
    }

    pub(super) fn answer(self, mut released: watch::Receiver<bool>) -> HttpResponse {
        let mut answer = HttpResponse::build(StatusCode::from_u16(self.status).unwrap());
        for header in self.headers {
            answer.insert_header(header);
        }
        // What came before a break has to be on the wire by then.
        let chunks = stream::iter(self.chunks).then(|chunk| async move {
            tokio::task::yield_now().await;
            Ok(Bytes::from(chunk))
        });
        let end: BoxStream<'static, io::Result<Bytes>> = match self.end {
            End::Whole => stream::empty().boxed(),
            End::Silence => stream::pending().boxed(),
            End::Cut => stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("cut"))
            })
            .boxed(),
            End::Held => stream::once(async move {
                let _ = released.wait_for(|released| *released).await;
            })
            .flat_map(|()| stream::empty())
            .boxed(),
        };
        answer.streaming(chunks.chain(end))
    }
}

/// One frame of a stream.
pub fn chunk(delta: Value, finish: Value) -> String {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "stand-in",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    .to_string()
}

/// The frames of an answer as OpenAI streams it: text in pieces, then the calls, the end, the usage.
pub fn frames(text: &str, calls: &[(&str, &str, Value)]) -> Vec<String> {
    let mut frames = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    if !text.is_empty() {
        frames.push(chunk(json!({ "content": text }), Value::Null));
    }
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        let arguments = arguments.to_string();
        let (first, rest) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        let open = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": first}});
        frames.push(chunk(json!({ "tool_calls": [open] }), Value::Null));
        let more = json!({"index": index, "function": {"arguments": rest}});
        frames.push(chunk(json!({ "tool_calls": [more] }), Value::Null));
    }
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    frames.push(chunk(json!({}), json!(finish)));
    let usage =
        json!({"prompt_tokens": PROMPT, "completion_tokens": ANSWER, "total_tokens": PROMPT + ANSWER});
    frames.push(
        json!({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "stand-in",
            "choices": [], "usage": usage})
        .to_string(),
    );
    frames.push("[DONE]".to_owned());
    frames
}

/// The tokens of every answer.
pub const PROMPT: i64 = 100;
pub const ANSWER: i64 = 10;
/// Of a message: tokens that the cache gave, and tokens that it took.
pub const CACHED: i64 = 50;
pub const KEPT: i64 = 20;

/// The frames of an answer as Anthropic streams it: the start, a block each for text and calls, the end.
pub fn message_frames(text: &str, calls: &[(&str, &str, Value)]) -> Vec<String> {
    let usage = json!({"input_tokens": PROMPT, "cache_read_input_tokens": CACHED,
        "cache_creation_input_tokens": KEPT, "output_tokens": 1});
    let mut frames = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "stand-in", "content": [], "stop_reason": null, "usage": usage}}),
        json!({"type": "ping"}),
    ];
    let mut block = |index: usize, start: Value, pieces: Vec<Value>| {
        frames.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for piece in pieces {
            frames.push(json!({"type": "content_block_delta", "index": index, "delta": piece}));
        }
        frames.push(json!({"type": "content_block_stop", "index": index}));
    };
    block(0, json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text})]);
    for (index, (id, name, arguments)) in (1..).zip(calls) {
        let arguments = arguments.to_string();
        let (first, rest) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        let pieces =
            ["", first, rest].map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
        block(index, json!({"type": "tool_use", "id": id, "name": name, "input": {}}), pieces.to_vec());
    }
    let reason = if calls.is_empty() { "end_turn" } else { "tool_use" };
    frames.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": ANSWER}}));
    frames.push(json!({"type": "message_stop"}));
    frames.iter().map(Value::to_string).collect()
}
