//! A strict reading of OpenAI's chat-completions request, as far as we use it. Unknown fields are
//! refused everywhere; a conversation with unanswered or unasked tool calls is refused as they do.

use serde_json::{Map, Value};

type Check = Result<(), String>;

pub(super) fn validate(body: &Value) -> Check {
    let body = fields(
        body,
        &["model", "messages", "stream", "stream_options"],
        &["max_completion_tokens", "max_tokens", "temperature", "tools", "response_format"],
    )?;
    text(&body["model"])?;
    ensure(body["stream"] == true, "stream")?;
    let options = fields(&body["stream_options"], &["include_usage"], &[])?;
    ensure(options["include_usage"] == true, "include_usage")?;
    ensure(body.contains_key("max_tokens") != body.contains_key("max_completion_tokens"), "one token limit")?;
    for limit in ["max_tokens", "max_completion_tokens"] {
        ensure(body.get(limit).is_none_or(|value| value.as_u64().is_some_and(|n| n > 0)), limit)?;
    }
    let temperature = body.get("temperature").map(|value| value.as_f64().unwrap_or(-1.0));
    ensure(temperature.is_none_or(|t| (0.0..=2.0).contains(&t)), "temperature")?;
    if let Some(tools) = body.get("tools") {
        ensure(!list(tools)?.is_empty(), "tools may not be empty")?;
        list(tools)?.iter().try_for_each(tool)?;
    }
    body.get("response_format").map_or(Ok(()), response_format)?;
    messages(list(&body["messages"])?)
}

fn messages(messages: &[Value]) -> Check {
    ensure(!messages.is_empty(), "messages may not be empty")?;
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        ensure(open.is_empty() || role == "tool", "tool calls must be answered before anything else")?;
        match role {
            "system" | "user" => {
                let message = fields(message, &["role", "content"], &[])?;
                ensure(message["content"].is_string(), "content")?;
            }
            "assistant" => {
                let message = fields(message, &["role", "content"], &["tool_calls"])?;
                let content = &message["content"];
                let calls = message.get("tool_calls");
                ensure(content.is_string() || (content.is_null() && calls.is_some()), "assistant content")?;
                if let Some(calls) = calls {
                    ensure(!list(calls)?.is_empty(), "tool_calls may not be empty")?;
                    for call in list(calls)? {
                        open.push(tool_call(call)?);
                    }
                }
            }
            "tool" => {
                let message = fields(message, &["role", "tool_call_id", "content"], &[])?;
                ensure(message["content"].is_string(), "content")?;
                let id = text(&message["tool_call_id"])?;
                let at = open.iter().position(|open| *open == id).ok_or("a result that nobody asked for")?;
                open.remove(at);
            }
            other => return Err(format!("role {other}")),
        }
    }
    ensure(open.is_empty(), "tool calls without a result")
}

fn tool_call(call: &Value) -> Result<&str, String> {
    let call = fields(call, &["id", "type", "function"], &[])?;
    ensure(call["type"] == "function", "call type")?;
    let function = fields(&call["function"], &["name", "arguments"], &[])?;
    name(&function["name"])?;
    let arguments = serde_json::from_str::<Value>(text(&function["arguments"])?);
    ensure(arguments.is_ok_and(|value| value.is_object()), "arguments have to be an object in a string")?;
    text(&call["id"])
}

fn tool(tool: &Value) -> Check {
    let tool = fields(tool, &["type", "function"], &[])?;
    ensure(tool["type"] == "function", "tool type")?;
    let function = fields(&tool["function"], &["name", "parameters"], &["description", "strict"])?;
    name(&function["name"])?;
    ensure(function.get("description").is_none_or(Value::is_string), "description")?;
    ensure(function["parameters"]["type"] == "object", "parameters have to be of type object")?;
    ensure(function["parameters"]["properties"].is_object(), "parameters need properties")
}

fn response_format(format: &Value) -> Check {
    let format = fields(format, &["type", "json_schema"], &[])?;
    ensure(format["type"] == "json_schema", "response_format type")?;
    let schema = fields(&format["json_schema"], &["name", "schema"], &["strict", "description"])?;
    name(&schema["name"])?;
    ensure(schema["schema"].is_object(), "schema")?;
    ensure(schema.get("strict").is_none_or(Value::is_boolean), "strict")
}

fn fields<'a>(
    value: &'a Value,
    required: &[&str],
    optional: &[&str],
) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
    for name in required {
        ensure(object.contains_key(*name), &format!("{name} is missing"))?;
    }
    for name in object.keys() {
        ensure(
            required.contains(&name.as_str()) || optional.contains(&name.as_str()),
            &format!("unknown {name}"),
        )?;
    }
    Ok(object)
}

fn list(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{value} is no array"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| format!("{value} is no text"))
}

/// `^[a-zA-Z0-9_-]{1,64}$`
fn name(value: &Value) -> Check {
    let name = text(value)?;
    let safe = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    ensure(safe && name.len() <= 64, &format!("name {name}"))
}

fn ensure(condition: bool, message: &str) -> Check {
    if condition { Ok(()) } else { Err(message.to_owned()) }
}
