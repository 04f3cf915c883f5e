//! A strict reading of Anthropic's Messages request, as far as we use it. Unknown fields are refused
//! everywhere; so is a conversation that they would refuse.

use serde_json::{Map, Value};

type Check = Result<(), String>;

/// As many blocks may be marked for the cache.
const MOST_MARKS: usize = 4;

pub(super) fn validate(body: &Value) -> Check {
    let marks = body.to_string().matches("\"cache_control\"").count();
    ensure(marks <= MOST_MARKS, "too many cache_control blocks")?;
    let body =
        fields(body, &["model", "max_tokens", "messages", "stream"], &["system", "tools", "temperature"])?;
    let model = text(&body["model"])?;
    ensure(body["stream"] == true, "stream")?;
    ensure(body["max_tokens"].as_u64().is_some_and(|most| most > 0), "max_tokens")?;
    if let Some(temperature) = body.get("temperature") {
        ensure(temperature.as_f64().is_some_and(|t| (0.0..=1.0).contains(&t)), "temperature")?;
        let refuses = ["claude-opus-4-7", "claude-opus-5", "claude-sonnet-5", "claude-fable-5"];
        ensure(
            !refuses.iter().any(|name| model.starts_with(name)),
            "temperature is deprecated for this model",
        )?;
    }
    for block in body.get("system").map_or(Ok(&[][..]), list)? {
        text_block(block)?;
    }
    if let Some(tools) = body.get("tools") {
        ensure(!list(tools)?.is_empty(), "tools may not be empty")?;
        list(tools)?.iter().try_for_each(tool)?;
    }
    messages(list(&body["messages"])?)
}

/// User and assistant in turn, the user first and last; results answer the turn before, first of all.
fn messages(messages: &[Value]) -> Check {
    let mut open: Vec<&str> = Vec::new();
    for (nth, message) in messages.iter().enumerate() {
        let message = fields(message, &["role", "content"], &[])?;
        let role = if nth % 2 == 0 { "user" } else { "assistant" };
        ensure(message["role"] == role, "roles take turns, and the user begins")?;
        let blocks = list(&message["content"])?;
        ensure(!blocks.is_empty(), "content may not be empty")?;
        let mut said = false;
        for block in blocks {
            match (role, block["type"].as_str().unwrap_or_default()) {
                (_, "text") => {
                    text_block(block)?;
                    said = true;
                }
                ("user", "tool_result") => {
                    ensure(!said, "results come before text")?;
                    let id = tool_result(block)?;
                    let at =
                        open.iter().position(|open| *open == id).ok_or("a result that nobody asked for")?;
                    open.remove(at);
                }
                ("assistant", "tool_use") => open.push(tool_use(block)?),
                (_, other) => return Err(format!("a block {other:?} of the {role}")),
            }
        }
        ensure(role == "assistant" || open.is_empty(), "tool_use without tool_result")?;
    }
    ensure(messages.len() % 2 == 1, "the user has the last word")
}

fn text_block(block: &Value) -> Check {
    let block = fields(block, &["type", "text"], &["cache_control"])?;
    ensure(block["type"] == "text", "type")?;
    marked(block)?;
    text(&block["text"]).map(drop)
}

fn tool_use(block: &Value) -> Result<&str, String> {
    let block = fields(block, &["type", "id", "name", "input"], &[])?;
    name(&block["name"])?;
    name(&block["id"])?;
    ensure(block["input"].is_object(), "input has to be an object")?;
    text(&block["id"])
}

fn tool_result(block: &Value) -> Result<&str, String> {
    let block = fields(block, &["type", "tool_use_id", "content"], &["cache_control"])?;
    marked(block)?;
    text(&block["content"])?;
    text(&block["tool_use_id"])
}

fn tool(tool: &Value) -> Check {
    let tool = fields(tool, &["name", "input_schema"], &["description", "cache_control"])?;
    marked(tool)?;
    name(&tool["name"])?;
    ensure(tool.get("description").is_none_or(Value::is_string), "description")?;
    ensure(tool["input_schema"]["type"] == "object", "input_schema has to be of type object")
}

fn marked(block: &Map<String, Value>) -> Check {
    let Some(mark) = block.get("cache_control") else { return Ok(()) };
    ensure(fields(mark, &["type"], &[])?["type"] == "ephemeral", "cache_control")
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
    value.as_str().filter(|text| !text.trim().is_empty()).ok_or_else(|| format!("{value} is no text"))
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
