//! The request body of the Messages API.
//! Protocol: <https://platform.claude.com/docs/en/api/messages>.

use serde_json::{Map, Value, json};

use crate::runtime::models::message::model_safe;
use crate::runtime::models::{Message, ModelRequest, ToolSpec};

/// The user begins, also where a chat that we were given does not.
const BEGIN: &str = "Begin.";
/// The user has the last word: newer models refuse to go on within an answer of their own.
const GO_ON: &str = "Go on.";
/// Text without a visible character is refused.
const BLANK: &str = "(empty)";

pub(super) fn body(request: &ModelRequest) -> Value {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    let mut system = system(request);
    let mut messages = turns(&request.messages);
    let mut tools: Vec<Value> = request.tools.iter().map(tool).collect();
    if !tools.is_empty() {
        // A run with tools comes back with all of this before it: once for what never changes, once for
        // the conversation so far.
        mark(system.last_mut().or(tools.last_mut()));
        mark(messages.last_mut().and_then(|turn| turn["content"].as_array_mut()?.last_mut()));
    }
    set("model", json!(request.model));
    set("max_tokens", json!(request.max_tokens));
    set("stream", json!(true));
    set("messages", Value::Array(messages));
    if !system.is_empty() {
        set("system", Value::Array(system));
    }
    if !tools.is_empty() {
        set("tools", Value::Array(tools));
    }
    if let Some(temperature) =
        request.temperature.filter(|t| t.is_finite() && takes_temperature(&request.model))
    {
        set("temperature", json!(temperature.clamp(0.0, 1.0)));
    }
    Value::Object(body)
}

/// Models since Opus 4.7 refuse any temperature, so only those that are known to take one are told.
fn takes_temperature(model: &str) -> bool {
    let mut parts = model.strip_prefix("claude-").unwrap_or_default().split('-');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("3"), ..) => true,
        // `claude-opus-4`, `claude-sonnet-4-20250514`, `claude-opus-4-6`.
        (Some(_), Some("4"), minor) => {
            minor.is_none_or(|minor| minor.len() > 2 || minor.parse().is_ok_and(|minor: u8| minor <= 6))
        }
        _ => false,
    }
}

/// Everything that is said by the system, wherever it stands, and what the answer has to be.
fn system(request: &ModelRequest) -> Vec<Value> {
    let said = request.messages.iter().filter_map(|message| match message {
        Message::System { content } if !content.trim().is_empty() => Some(content.clone()),
        _ => None,
    });
    let schema = request.output_schema.iter().map(|schema| {
        format!(
            "Your final answer is JSON alone, without any other text or a code fence, and fits this JSON Schema:\n{schema}"
        )
    });
    said.chain(schema).map(|content| text(&content)).collect()
}

/// The conversation as turns of user and assistant: results of tools are said by the user.
fn turns(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::System { .. } => continue,
            Message::User { content } => ("user", vec![text(content)]),
            Message::Tool { call_id, content, name: _ } => ("user", vec![result(call_id, content)]),
            Message::Assistant { content, tool_calls } => {
                let said = content.iter().filter(|content| !content.trim().is_empty());
                let calls = tool_calls.iter().map(|call| {
                    json!({
                        "type": "tool_use",
                        "id": model_safe(&call.id),
                        "name": model_safe(&call.name),
                        "input": call.object().unwrap_or_default(),
                    })
                });
                ("assistant", said.map(|said| text(said)).chain(calls).collect())
            }
        };
        match turns.last_mut() {
            // An answer without anything to see leaves the turns around it to become one.
            _ if blocks.is_empty() => {}
            Some((last, before)) if *last == role => before.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    if turns.first().is_none_or(|(role, _)| *role != "user") {
        turns.insert(0, ("user", vec![text(BEGIN)]));
    }
    if turns.last().is_some_and(|(role, _)| *role != "user") {
        turns.push(("user", vec![text(GO_ON)]));
    }
    turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

fn text(content: &str) -> Value {
    json!({"type": "text", "text": visible(content)})
}

fn result(call_id: &str, content: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": model_safe(call_id), "content": visible(content)})
}

fn visible(content: &str) -> &str {
    if content.trim().is_empty() { BLANK } else { content }
}

fn tool(tool: &ToolSpec) -> Value {
    json!({"name": tool.name, "description": tool.description, "input_schema": tool.object_schema()})
}

/// What comes up to here is kept by the provider for the next turn.
fn mark(block: Option<&mut Value>) {
    if let Some(block) = block.and_then(Value::as_object_mut) {
        block.insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
    }
}
