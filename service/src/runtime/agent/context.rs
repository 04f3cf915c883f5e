//! The messages of the next request, from the agent's configuration, the run's input and its history.
//!
//! Invariant: the history is valid for every provider: each call of an assistant message is followed
//! by one result.

use entity::tasks::task_run::RunReason;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::history::{Entry, History, State};
use super::plan::Plan;
use super::{output, repetition, window};
use crate::agents::AgentConfig;
use crate::runtime::end::{End, Flow};
use crate::runtime::models::Message;
use crate::runtime::tools::canonical_json;

/// `{"messages": […]}`; other members are left to the mock models and to templates.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<ChatMessage>,
}

#[derive(Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum ChatMessage {
    System { content: String },
    User { content: String },
    Assistant { content: String },
}

/// The system prompt and the input: text is the user's message, `{"messages": […]}` a chat, anything
/// else is given to the model as JSON.
pub(super) fn opening(config: &AgentConfig, input: &Value) -> Flow<Vec<Message>> {
    let system = system(config).map(|content| Message::System { content });
    let said = match input {
        Value::String(text) => vec![Message::User { content: text.clone() }],
        Value::Object(members) if members.get("messages").is_some_and(Value::is_array) => chat(input)?,
        other => vec![Message::User { content: canonical_json(other) }],
    };
    Ok(system.into_iter().chain(said).collect())
}

fn chat(input: &Value) -> Flow<Vec<Message>> {
    let chat = Chat::deserialize(input).map_err(|error| {
        End::failed(RunReason::NonRetryable, "invalid_input", format!("/input/messages: {error}"))
    })?;
    let message = |message| match message {
        ChatMessage::System { content } => Message::System { content },
        ChatMessage::User { content } => Message::User { content },
        ChatMessage::Assistant { content } => {
            Message::Assistant { content: Some(content), tool_calls: Vec::new() }
        }
    };
    Ok(chat.messages.into_iter().map(message).collect())
}

fn system(config: &AgentConfig) -> Option<String> {
    let prompt = config.system_prompt.clone().filter(|prompt| !prompt.is_empty());
    let personality = (!config.personality.is_empty()).then(|| personality(&config.personality));
    let parts: Vec<String> = prompt.into_iter().chain(personality).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// A line for each trait, sorted: a database may give them in any order.
fn personality(traits: &Map<String, Value>) -> String {
    let mut lines: Vec<String> =
        traits.iter().map(|(name, value)| format!("- {name}: {}", text(value))).collect();
    lines.sort();
    format!("Your personality:\n{}", lines.join("\n"))
}

/// Everything the model reads next.
pub(super) fn messages(opening: &[Message], plan: &Plan, history: &History) -> Vec<Message> {
    let mut messages = opening.to_vec();
    for turn in &history.turns {
        messages.push(Message::Assistant {
            content: turn.content.clone(),
            tool_calls: turn.calls.iter().map(|entry| entry.call.clone()).collect(),
        });
        messages.extend(turn.calls.iter().map(result));
        if turn.calls.is_empty()
            && let Some(content) = output::repair(plan, turn)
        {
            messages.push(Message::User { content });
        }
    }
    window::shortened(messages, opening.len(), history.too_long)
}

fn result(entry: &Entry) -> Message {
    let content = match &entry.state {
        State::Done { response, .. } => {
            let body = match response.get("output") {
                Some(output) => text(output),
                None => canonical_json(response.get("error").unwrap_or(&Value::Null)),
            };
            let note = response.get("note").and_then(Value::as_str).map(str::to_owned);
            let notes = note.into_iter().chain(repetition::notice(entry.occurrence));
            std::iter::once(body).chain(notes).collect::<Vec<_>>().join("\n\n")
        }
        State::Open | State::Started(_) => "This call was not executed.".to_owned(),
    };
    Message::Tool { call_id: entry.call.id.clone(), name: entry.call.name.clone(), content }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => canonical_json(other),
    }
}
