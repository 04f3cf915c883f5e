//! The functions that come with the product. None has an effect outside its own output.

use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::ToolFailure;
use super::waits::Waits;
use crate::clock::Clock;
use crate::templates::{Context, Template};

/// Milliseconds `builtin/sleep` may wait.
const MAX_SLEEP_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Echo,
    Now,
    Template,
    JsonSelect,
    Sleep,
    Wait(Waits),
}

/// What a person or a model needs to know to call a built-in.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    pub name: &'static str,
    pub description: &'static str,
    pub function: Function,
}

pub fn catalog() -> &'static [Builtin] {
    &[
        Builtin { name: "builtin/echo", description: "Gives back its arguments.", function: Function::Echo },
        Builtin {
            name: "builtin/now",
            description: "The current time in UTC: RFC 3339 text and milliseconds since 1970.",
            function: Function::Now,
        },
        Builtin {
            name: "builtin/template",
            description: "Fills the {{ expressions }} of a template (text or any JSON) from data.",
            function: Function::Template,
        },
        Builtin {
            name: "builtin/json_select",
            description: "The part of a JSON value at a JSON pointer (RFC 6901), or null.",
            function: Function::JsonSelect,
        },
        Builtin {
            name: "builtin/sleep",
            description: "Waits for up to a minute while the run goes on; builtin/wait lets it rest.",
            function: Function::Sleep,
        },
        Builtin {
            name: "builtin/wait",
            description: "Lets the run rest for some seconds, up to a year.",
            function: Function::Wait(Waits::Seconds),
        },
        Builtin {
            name: "builtin/sleep_until",
            description: "Lets the run rest until a time, at most a year ahead.",
            function: Function::Wait(Waits::Until),
        },
        Builtin {
            name: "builtin/ask_user",
            description: "Asks a person a question and waits for the answer.",
            function: Function::Wait(Waits::Question),
        },
        Builtin {
            name: "builtin/wait_for_event",
            description: "Waits for an event or a webhook with this correlation key, and gives its type and data.",
            function: Function::Wait(Waits::Event),
        },
    ]
}

pub fn find(name: &str) -> Option<&'static Builtin> {
    catalog().iter().find(|builtin| builtin.name == name)
}

impl Builtin {
    /// JSON Schema of the arguments: the default for a tool that gives none.
    pub fn parameters(&self) -> Value {
        match self.function {
            Function::Echo => json!({"type": "object"}),
            Function::Now => json!({"type": "object", "properties": {}, "additionalProperties": false}),
            Function::Template => json!({
                "type": "object",
                "required": ["template"],
                "additionalProperties": false,
                "properties": {
                    "template": {"description": "Text or JSON with {{ expressions }}."},
                    "data": {"type": "object", "description": "What the names in expressions stand for."},
                },
            }),
            Function::JsonSelect => json!({
                "type": "object",
                "required": ["value", "pointer"],
                "additionalProperties": false,
                "properties": {
                    "value": {"description": "Any JSON value."},
                    "pointer": {"type": "string", "pattern": "^(/.*)?$", "description": "For example /items/0/name."},
                },
            }),
            Function::Sleep => json!({
                "type": "object",
                "required": ["ms"],
                "additionalProperties": false,
                "properties": {
                    "ms": {"type": "integer", "minimum": 0, "maximum": MAX_SLEEP_MS, "description": "Milliseconds."},
                },
            }),
            Function::Wait(waits) => waits.parameters(),
        }
    }
}

pub(super) async fn call(function: Function, arguments: &Value, clock: &Clock) -> Result<Value, ToolFailure> {
    match function {
        Function::Echo => Ok(arguments.clone()),
        Function::Now => {
            let now = clock.now();
            let text = now.to_rfc3339_opts(SecondsFormat::Millis, true);
            Ok(json!({"now": text, "unixMs": now.timestamp_millis()}))
        }
        Function::Template => fill(arguments),
        Function::JsonSelect => select(arguments),
        Function::Sleep => sleep(arguments).await,
        // The runtime registers the wait instead of making the call.
        Function::Wait(_) => Err(ToolFailure::new("cannot_wait", "This call cannot wait here.")),
    }
}

fn fill(arguments: &Value) -> Result<Value, ToolFailure> {
    let template = arguments.get("template").ok_or_else(|| invalid("template is missing"))?;
    let data = arguments.get("data").cloned().unwrap_or_else(|| json!({}));
    let compiled = Template::compile(template, "/template").map_err(|error| invalid(error.to_string()))?;
    compiled.render(&Context::from(&data)).map_err(|error| invalid(error.to_string()))
}

fn select(arguments: &Value) -> Result<Value, ToolFailure> {
    let value = arguments.get("value").ok_or_else(|| invalid("value is missing"))?;
    let pointer = arguments.get("pointer").and_then(Value::as_str);
    match pointer {
        Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
            Ok(value.pointer(pointer).cloned().unwrap_or(Value::Null))
        }
        _ => Err(invalid("pointer has to be a JSON pointer: empty, or starting with /")),
    }
}

async fn sleep(arguments: &Value) -> Result<Value, ToolFailure> {
    let ms = arguments.get("ms").and_then(Value::as_u64).filter(|ms| *ms <= MAX_SLEEP_MS);
    let ms = ms.ok_or_else(|| invalid(format!("ms has to be a number from 0 to {MAX_SLEEP_MS}")))?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(json!({"sleptMs": ms}))
}

pub(super) fn invalid(message: impl Into<String>) -> ToolFailure {
    ToolFailure::new("invalid_arguments", message)
}
