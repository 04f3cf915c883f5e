//! The wire: what we send is strictly OpenAI's format, what we read may deviate.

mod deviations;
mod refusals;
mod replies;
mod requests;
mod validator;
mod wire;

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::assembly::Assembly;
use crate::runtime::models::decoder::Decoder;
use crate::runtime::models::{Message, ModelError, ModelReply, ModelRequest};

fn request() -> ModelRequest {
    ModelRequest {
        model: "gpt-4o-mini".to_owned(),
        messages: vec![Message::User { content: "Hi there, how are you?".to_owned() }],
        tools: Vec::new(),
        temperature: Some(0.7),
        max_tokens: 100,
        output_schema: None,
        turn: 2,
        input: Value::Null,
        attempt: 0,
        idempotency_key: "run:2".to_owned(),
        timeout: Duration::from_secs(60),
    }
}

/// Decodes the chunks of an answer's body; also checks that the deltas add up to the content.
fn decode_chunks(chunks: &[&[u8]]) -> Result<ModelReply, ModelError> {
    let heard = Mutex::new(String::new());
    let deltas = |text: &str| heard.lock().unwrap().push_str(text);
    let mut decoder = Decoder::<Assembly>::new();
    for chunk in chunks {
        if decoder.push(chunk, &deltas)? {
            break;
        }
    }
    let reply = decoder.finish(&request(), None, &deltas)?;
    assert_eq!(*heard.lock().unwrap(), reply.content.clone().unwrap_or_default());
    Ok(reply)
}

fn decode(body: &str) -> Result<ModelReply, ModelError> {
    decode_chunks(&[body.as_bytes()])
}

/// A stream of these chunks, without the closing `[DONE]`.
fn events(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect()
}

fn names_and_arguments(reply: &ModelReply) -> Vec<(&str, &str)> {
    reply.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect()
}
