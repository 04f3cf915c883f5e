//! The request body of chat completions.
//! Protocol: <https://platform.openai.com/docs/api-reference/chat/create>.

use serde_json::{Map, Value, json};

use crate::runtime::models::message::model_safe;
use crate::runtime::models::{Message, ModelRequest, ToolCall, ToolSpec};

/// Where servers of this protocol differ in what they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The protocol's owner: `max_completion_tokens`, and no temperature for reasoning models.
    OpenAi,
    /// Ollama, vLLM, llama.cpp, LiteLLM and their like: `max_tokens`.
    Compatible,
}

pub(super) fn body(request: &ModelRequest, dialect: Dialect) -> Value {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", json!(request.model));
    set("messages", request.messages.iter().map(message).collect());
    set("stream", json!(true));
    set("stream_options", json!({"include_usage": true}));
    match dialect {
        Dialect::OpenAi => set("max_completion_tokens", json!(request.max_tokens)),
        Dialect::Compatible => set("max_tokens", json!(request.max_tokens)),
    };
    let fixed_temperature = dialect == Dialect::OpenAi && is_reasoning(&request.model);
    if let Some(temperature) = request.temperature.filter(|t| t.is_finite() && !fixed_temperature) {
        set("temperature", json!(temperature));
    }
    if !request.tools.is_empty() {
        set("tools", request.tools.iter().map(tool).collect());
    } else if let Some(schema) = &request.output_schema {
        let format = json!({"name": "output", "schema": schema, "strict": false});
        set("response_format", json!({"type": "json_schema", "json_schema": format}));
    }
    Value::Object(body)
}

/// These refuse any temperature but their own.
fn is_reasoning(model: &str) -> bool {
    let series = model.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    series || model.starts_with("gpt-5")
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { content } => json!({"role": "system", "content": content}),
        Message::User { content } => json!({"role": "user", "content": content}),
        Message::Tool { call_id, content, name: _ } => {
            json!({"role": "tool", "tool_call_id": call_id, "content": content})
        }
        Message::Assistant { content, tool_calls } if tool_calls.is_empty() => {
            json!({"role": "assistant", "content": content.as_deref().unwrap_or_default()})
        }
        Message::Assistant { content, tool_calls } => {
            let calls: Vec<Value> = tool_calls.iter().map(call).collect();
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
    }
}

fn call(call: &ToolCall) -> Value {
    let arguments = if call.object().is_some() { call.arguments.as_str() } else { "{}" };
    let function = json!({"name": model_safe(&call.name), "arguments": arguments});
    json!({"id": call.id, "type": "function", "function": function})
}

fn tool(tool: &ToolSpec) -> Value {
    let parameters = tool.object_schema();
    let function = json!({"name": tool.name, "description": tool.description, "parameters": parameters});
    json!({"type": "function", "function": function})
}
