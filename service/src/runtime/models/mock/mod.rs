//! Models that need no key and no network, as part of the product: explorers see a whole run in the
//! first minute, and integrators test against behaviour they can predict.
//!
//! | model | answers |
//! |---|---|
//! | `mock/echo` | the last user message, streamed in several fragments |
//! | `mock/tools` | calls the bound tools in order, one a turn, with arguments made from their schemas (a property of the same name in the run's input wins where it fits), then summarises their results |
//! | `mock/script` | the turns given in `input.script`: `{text?, deltas?, toolCalls?: [{name, arguments}], usage?, error?: {kind, retryAfterMs?, times?}, delayMs?, deltaMs?}`, then `(end of script)` |
//! | `mock/flaky` | fails `input.flaky.failures` times with `input.flaky.kind` (default 1, `OVERLOADED`), then echoes |
//!
//! They keep no state: the answer is a function of the request, so that a resumed run replays
//! identically. A token is four characters, and the tokens are billed like any other model's.
//! With an output schema the final answer of `mock/echo`, `mock/tools` and `mock/flaky` is JSON that
//! fits it.

mod sample;
mod script;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::{
    DeltaSink, Message, ModelError, ModelErrorKind, ModelProvider, ModelReply, ModelRequest, StopReason,
    ToolCall, Usage, estimate_prompt, estimate_tokens,
};

pub const MODELS: [&str; 4] = ["mock/echo", "mock/tools", "mock/script", "mock/flaky"];

/// Characters of each tool result that the summary of `mock/tools` quotes.
const QUOTE: usize = 200;
/// Fragments of a streamed answer.
const FRAGMENTS: usize = 16;

/// The provider of the `mock/*` models.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mock;

impl Mock {
    pub fn serves(model: &str) -> bool {
        model.starts_with("mock/")
    }
}

#[async_trait]
impl ModelProvider for Mock {
    async fn complete(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError> {
        match request.model.as_str() {
            "mock/echo" => Ok(answer(request, echo(request), deltas)),
            "mock/tools" => Ok(tools(request, deltas)),
            "mock/script" => script::play(request, deltas).await,
            "mock/flaky" => flaky(request, deltas),
            other => Err(ModelError::new(
                ModelErrorKind::InvalidRequest,
                format!("There is no model {other:?}; the mock models are {}.", MODELS.join(", ")),
            )),
        }
    }

    async fn list_models(&self) -> Result<Vec<String>, ModelError> {
        Ok(MODELS.map(str::to_owned).to_vec())
    }
}

fn echo(request: &ModelRequest) -> String {
    let last = request.messages.iter().rev().find_map(|message| match message {
        Message::User { content } => Some(content.as_str()),
        _ => None,
    });
    let text = last.unwrap_or_default();
    match &request.output_schema {
        Some(schema) if serde_json::from_str::<Value>(text).is_err() => {
            sample::sample(schema, &request.input).to_string()
        }
        _ => text.to_owned(),
    }
}

fn tools(request: &ModelRequest, deltas: &dyn DeltaSink) -> ModelReply {
    let turn = usize::try_from(request.turn).unwrap_or(usize::MAX);
    if let Some(tool) = request.tools.get(turn) {
        let arguments = sample::sample(&tool.parameters, &request.input).to_string();
        return reply(request, None, vec![call(request, 0, &tool.name, arguments)], StopReason::ToolCalls);
    }
    let text = match &request.output_schema {
        Some(schema) => sample::sample(schema, &request.input).to_string(),
        None => summary(request, turn.min(request.tools.len())),
    };
    answer(request, text, deltas)
}

/// One line for each of the last `count` tool results, oldest first.
fn summary(request: &ModelRequest, count: usize) -> String {
    let mut lines: Vec<String> = request
        .messages
        .iter()
        .rev()
        .filter_map(|message| match message {
            Message::Tool { name, content, .. } => {
                Some(format!("- {name}: {}", content.chars().take(QUOTE).collect::<String>()))
            }
            _ => None,
        })
        .take(count)
        .collect();
    lines.push(match lines.len() {
        0 => "I had no tools to call.".to_owned(),
        1 => "I called 1 tool:".to_owned(),
        n => format!("I called {n} tools:"),
    });
    lines.reverse();
    lines.join("\n")
}

/// `input.flaky`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Flaky {
    failures: u32,
    kind: ModelErrorKind,
}

impl Default for Flaky {
    fn default() -> Self {
        Self { failures: 1, kind: ModelErrorKind::Overloaded }
    }
}

fn flaky(request: &ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelReply, ModelError> {
    let flaky = match request.input.get("flaky") {
        None => Flaky::default(),
        Some(value) => Flaky::deserialize(value).map_err(|error| {
            ModelError::new(ModelErrorKind::InvalidRequest, format!("input.flaky: {error}"))
        })?,
    };
    if request.attempt < flaky.failures {
        let nth = request.attempt + 1;
        return Err(ModelError::new(
            flaky.kind,
            format!("mock/flaky fails as told: failure {nth} of {}.", flaky.failures),
        ));
    }
    Ok(answer(request, echo(request), deltas))
}

fn call(request: &ModelRequest, index: usize, name: &str, arguments: String) -> ToolCall {
    ToolCall { id: format!("call_{}_{index}", request.turn), name: name.to_owned(), arguments }
}

/// Streams `text`, cut to the request's `max_tokens` as a real model would, as the final answer.
fn answer(request: &ModelRequest, text: String, deltas: &dyn DeltaSink) -> ModelReply {
    let limit = usize::try_from(request.max_tokens).unwrap_or(usize::MAX).saturating_mul(4);
    let (text, stop_reason) = match text.char_indices().nth(limit) {
        Some((end, _)) => (text.get(..end).unwrap_or_default().to_owned(), StopReason::MaxTokens),
        None => (text, StopReason::EndTurn),
    };
    fragments(&text).iter().for_each(|fragment| deltas.text(fragment));
    reply(request, Some(text), Vec::new(), stop_reason)
}

fn fragments(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(chars.len().div_ceil(FRAGMENTS).max(4)).map(|chunk| chunk.iter().collect()).collect()
}

fn reply(
    request: &ModelRequest,
    content: Option<String>,
    tool_calls: Vec<ToolCall>,
    stop_reason: StopReason,
) -> ModelReply {
    let called: i64 =
        tool_calls.iter().map(|call| estimate_tokens(&call.name) + estimate_tokens(&call.arguments)).sum();
    let output = content.as_deref().map_or(0, estimate_tokens) + called;
    ModelReply {
        content,
        tool_calls,
        usage: Usage { input: estimate_prompt(request), output, ..Usage::default() },
        stop_reason,
        model: request.model.clone(),
        request_id: None,
    }
}

#[cfg(test)]
mod tests;
