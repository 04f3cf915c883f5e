//! The conversation with a model, in a form that no provider owns. Messages are journaled: a change
//! of these shapes must still read what older runs wrote.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Message {
    System {
        content: String,
    },
    User {
        content: String,
    },
    Assistant {
        content: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// The outcome of the call with this id. Every call of an assistant message needs one before
    /// the next turn: providers refuse a history with dangling calls.
    Tool {
        call_id: String,
        name: String,
        content: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text as the model sent it, which may be invalid.
    pub arguments: String,
}

/// A tool as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Value,
    /// Calling it twice, or beside others, does no harm.
    pub safe: bool,
}

impl ToolCall {
    /// The arguments. Providers read those of earlier calls and fail on broken ones; the result that
    /// follows such a call says what was wrong with them.
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.arguments).ok()
    }
}

impl ToolSpec {
    /// The schema as providers want it: of an object, with its properties.
    pub(super) fn object_schema(&self) -> Map<String, Value> {
        let mut schema = self.parameters.as_object().cloned().unwrap_or_default();
        schema.entry("type").or_insert_with(|| json!("object"));
        if schema.get("type") == Some(&json!("object")) {
            schema.entry("properties").or_insert_with(|| json!({}));
        }
        schema
    }
}

/// Names and ids that a model made up come back in its history, where providers check them.
pub(super) fn model_safe(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.chars().take(64).map(|c| if safe(c) { c } else { '_' }).collect()
}
