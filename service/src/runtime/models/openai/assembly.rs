//! One reply put together from chunks, or from a whole completion, which is a single big chunk.
//!
//! Tolerant of what compatible servers send: null or empty choices, content as parts, calls whose
//! index or id is missing or whose arguments are an object, the older `function_call`.

use serde_json::Value;

use super::usage;
use crate::runtime::models::decoder::Assemble;
use crate::runtime::models::refusals::{self, protocol};
use crate::runtime::models::{
    DeltaSink, ModelError, ModelReply, ModelRequest, StopReason, ToolCall, estimate_tokens,
};

/// Bytes of content, reasoning and arguments together.
const MAX_SIZE: usize = 8 << 20;
const MAX_CALLS: usize = 128;
const MAX_NAME: usize = 200;

#[derive(Default)]
pub(super) struct Assembly {
    content: String,
    refused: bool,
    reasoning: i64,
    calls: Vec<Slot>,
    finish: Option<String>,
    usage: Option<Value>,
    model: Option<String>,
    id: Option<String>,
    size: usize,
    /// The server has said everything that matters.
    complete: bool,
}

/// A call under construction.
#[derive(Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Assemble for Assembly {
    fn add(&mut self, event: &Value, deltas: &dyn DeltaSink) -> Result<bool, ModelError> {
        self.chunk(event, deltas).map(|()| false)
    }

    fn whole(&mut self, body: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        self.chunk(body, deltas)?;
        if body.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            return Err(protocol("JSON that is no chat completion"));
        }
        self.complete = true;
        Ok(())
    }

    fn end(&mut self) {
        self.complete = true;
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn finish(self, request: &ModelRequest, request_id: Option<String>) -> Result<ModelReply, ModelError> {
        let estimate = (self.estimate(), (self.reasoning + 3) / 4);
        let usage = usage::read(&self.usage.unwrap_or_default(), request, estimate);
        let mut tool_calls: Vec<ToolCall> = Vec::new();
        for (nth, slot) in self.calls.into_iter().enumerate() {
            if slot.name.is_empty() {
                return Err(protocol("a tool call without a name"));
            }
            let known = tool_calls.iter().any(|call| call.id == slot.id);
            let id =
                if slot.id.is_empty() || known { format!("call_{}_{nth}", request.turn) } else { slot.id };
            let arguments = if slot.arguments.trim().is_empty() { "{}".to_owned() } else { slot.arguments };
            tool_calls.push(ToolCall { id, name: slot.name, arguments });
        }
        let stop_reason = match self.finish.as_deref() {
            Some("length" | "max_tokens") => StopReason::MaxTokens,
            Some("content_filter") => StopReason::ContentFilter,
            _ if !tool_calls.is_empty() => StopReason::ToolCalls,
            _ if self.refused => StopReason::ContentFilter,
            None | Some("stop" | "eos" | "end_turn") => StopReason::EndTurn,
            Some(_) => StopReason::Other,
        };
        Ok(ModelReply {
            content: (!self.content.is_empty()).then_some(self.content),
            tool_calls,
            usage,
            stop_reason,
            model: self.model.unwrap_or_else(|| request.model.clone()),
            request_id: request_id.or(self.id),
        })
    }
}

impl Assembly {
    fn chunk(&mut self, chunk: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        if let Some(error) = refusals::of_payload(chunk) {
            return Err(error);
        }
        keep_first(&mut self.model, chunk.get("model"));
        keep_first(&mut self.id, chunk.get("id"));
        let choices = chunk.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = Some(usage.clone());
            self.complete |= choices.is_empty();
        }
        // We ask for one choice; a server that numbers it oddly still means it.
        let Some(choice) = choices.first() else { return Ok(()) };
        if let Some(delta) = choice.get("delta").filter(|delta| delta.is_object()) {
            self.part(delta, deltas)?;
        } else if let Some(message) = choice.get("message").filter(|_| self.size == 0) {
            self.part(message, deltas)?;
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|r| !r.is_empty()) {
            self.finish = Some(reason.to_owned());
            self.complete = true;
        }
        Ok(())
    }

    fn part(&mut self, part: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        let refusal = part.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty());
        self.refused |= refusal.is_some();
        for text in part.get("content").into_iter().flat_map(texts).chain(refusal) {
            self.grow(text.len())?;
            self.content.push_str(text);
            if !text.is_empty() {
                deltas.text(text);
            }
        }
        let thought = part.get("reasoning_content").or_else(|| part.get("reasoning")).and_then(Value::as_str);
        if let Some(thought) = thought {
            self.grow(thought.len())?;
            self.reasoning += i64::try_from(thought.chars().count()).unwrap_or(0);
        }
        for call in part.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.call(call, call.get("index").and_then(Value::as_u64), call.get("function").unwrap_or(call))?;
        }
        match part.get("function_call") {
            Some(function) if function.is_object() => self.call(&Value::Null, Some(0), function),
            _ => Ok(()),
        }
    }

    fn call(&mut self, call: &Value, index: Option<u64>, function: &Value) -> Result<(), ModelError> {
        let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
        let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
        let arguments = function.get("arguments").unwrap_or(&Value::Null);
        let slot = self.slot(index, id, name)?;
        if slot.id.is_empty() {
            id.clone_into(&mut slot.id);
        }
        if slot.name != name {
            slot.name.push_str(name);
        }
        let before = slot.arguments.len();
        match arguments {
            Value::Null => {}
            Value::String(fragment) => slot.arguments.push_str(fragment),
            whole => slot.arguments = whole.to_string(),
        }
        let grown = (slot.arguments.len().saturating_sub(before)) + id.len() + name.len();
        self.grow(grown)
    }

    /// The call that a fragment belongs to. An index decides, but servers that number every call 0
    /// tell them apart by id; without an index the id decides; a name begins a call; else it is the last.
    fn slot(&mut self, index: Option<u64>, id: &str, name: &str) -> Result<&mut Slot, ModelError> {
        let same_id = |slot: &Slot| id.is_empty() || slot.id.is_empty() || slot.id == id;
        let last = self.calls.len().checked_sub(1);
        let found = match index {
            Some(_) => self
                .calls
                .iter()
                .rposition(|slot| slot.index == index)
                .filter(|&at| name.is_empty() || self.calls.get(at).is_some_and(same_id)),
            None if name.is_empty() => self.calls.iter().rposition(same_id).or(last),
            None if id.is_empty() => None,
            None => self.calls.iter().rposition(|slot| slot.id == id),
        };
        let at = match found {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => {
                return Err(protocol(format!("more than {MAX_CALLS} tool calls")));
            }
            None => {
                self.calls.push(Slot { index, ..Slot::default() });
                self.calls.len() - 1
            }
        };
        self.calls.get_mut(at).ok_or_else(|| protocol("a tool call that never began"))
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.size += bytes;
        if self.size > MAX_SIZE { Err(protocol("an answer beyond all bounds")) } else { Ok(()) }
    }

    fn estimate(&self) -> i64 {
        let calls =
            self.calls.iter().map(|slot| estimate_tokens(&slot.name) + estimate_tokens(&slot.arguments));
        estimate_tokens(&self.content) + calls.sum::<i64>()
    }
}

/// The text of `content`: a string, or parts of which some are text.
fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn keep_first(kept: &mut Option<String>, found: Option<&Value>) {
    if kept.is_none() {
        let text = found.and_then(Value::as_str).filter(|text| !text.is_empty());
        *kept = text.map(|text| text.chars().take(MAX_NAME).collect());
    }
}
