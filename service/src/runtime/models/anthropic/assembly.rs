//! One reply put together from the events of a stream, or from a whole message.
//!
//! The usage comes in disjoint kinds, cumulative, some of it with the first event and the rest with
//! the last. Events, blocks and deltas of kinds that we do not know are passed over, as the protocol
//! asks.

use serde_json::Value;

use crate::runtime::models::decoder::Assemble;
use crate::runtime::models::refusals::{self, protocol};
use crate::runtime::models::{
    DeltaSink, ModelError, ModelReply, ModelRequest, StopReason, ToolCall, Usage, estimate_prompt,
    estimate_tokens,
};

/// Bytes of text, thinking and arguments together.
const MAX_SIZE: usize = 8 << 20;
const MAX_CALLS: usize = 128;
const MAX_NAME: usize = 200;

#[derive(Default)]
pub(super) struct Assembly {
    content: String,
    /// Characters that are not shown.
    thinking: i64,
    calls: Vec<Block>,
    stop: Option<String>,
    tokens: Tokens,
    model: Option<String>,
    id: Option<String>,
    size: usize,
    complete: bool,
}

/// A call under construction.
struct Block {
    index: u64,
    id: String,
    name: String,
    /// Of a call that came in one piece; a stream begins with an empty one.
    input: Value,
    arguments: String,
}

/// The newest count of each kind.
#[derive(Default)]
struct Tokens {
    input: Option<i64>,
    cache_read: Option<i64>,
    cache_write: Option<i64>,
    output: Option<i64>,
    thinking: Option<i64>,
}

impl Assemble for Assembly {
    fn add(&mut self, event: &Value, deltas: &dyn DeltaSink) -> Result<bool, ModelError> {
        if let Some(error) = refusals::of_payload(event) {
            return Err(error);
        }
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "message_start" => self.begin(event.get("message").unwrap_or(&Value::Null)),
            "content_block_start" => {
                self.block(index(event), event.get("content_block").unwrap_or(&Value::Null), deltas)?;
            }
            "content_block_delta" => {
                self.delta(index(event), event.get("delta").unwrap_or(&Value::Null), deltas)?;
            }
            "message_delta" => {
                self.tokens.read(event.get("usage"));
                self.stopped(event.get("delta").unwrap_or(&Value::Null));
            }
            "message_stop" => {
                self.complete = true;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn whole(&mut self, body: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        if let Some(error) = refusals::of_payload(body) {
            return Err(error);
        }
        let Some(blocks) = body.get("content").and_then(Value::as_array) else {
            return Err(protocol("JSON that is no message"));
        };
        self.begin(body);
        for (nth, block) in (0..).zip(blocks) {
            self.block(nth, block, deltas)?;
        }
        self.stopped(body);
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
        let usage = self.tokens.usage(request, self.estimate());
        let mut tool_calls: Vec<ToolCall> = Vec::new();
        for (nth, block) in self.calls.into_iter().enumerate() {
            if block.name.is_empty() {
                return Err(protocol("a tool call without a name"));
            }
            let known = tool_calls.iter().any(|call| call.id == block.id);
            let id =
                if block.id.is_empty() || known { format!("call_{}_{nth}", request.turn) } else { block.id };
            let arguments = match block.arguments.trim() {
                "" if block.input.is_object() => block.input.to_string(),
                "" => "{}".to_owned(),
                _ => block.arguments,
            };
            tool_calls.push(ToolCall { id, name: block.name, arguments });
        }
        let stop_reason = match self.stop.as_deref() {
            Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
            Some("refusal") => StopReason::ContentFilter,
            _ if !tool_calls.is_empty() => StopReason::ToolCalls,
            None | Some("end_turn" | "stop_sequence") => StopReason::EndTurn,
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
    fn begin(&mut self, message: &Value) {
        self.tokens.read(message.get("usage"));
        let name = |field| message.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let short = |text: &str| text.chars().take(MAX_NAME).collect();
        self.model = name("model").map(short);
        self.id = name("id").map(short);
    }

    fn block(&mut self, index: u64, block: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        let field = |name| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "text" => self.say(field("text"), deltas),
            "thinking" => self.think(field("thinking")),
            "tool_use" if self.calls.len() >= MAX_CALLS => {
                Err(protocol(format!("more than {MAX_CALLS} tool calls")))
            }
            "tool_use" => {
                let (id, name) = (field("id").to_owned(), field("name").to_owned());
                self.grow(id.len() + name.len())?;
                let input = block.get("input").cloned().unwrap_or_default();
                self.calls.push(Block { index, id, name, input, arguments: String::new() });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn delta(&mut self, index: u64, delta: &Value, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        let field = |name| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "text_delta" => self.say(field("text"), deltas),
            "thinking_delta" => self.think(field("thinking")),
            "input_json_delta" => {
                let piece = field("partial_json");
                self.grow(piece.len())?;
                let call = self.calls.iter_mut().rev().find(|call| call.index == index);
                let call = call.ok_or_else(|| protocol("arguments of a call that never began"))?;
                call.arguments.push_str(piece);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn stopped(&mut self, told: &Value) {
        let reason = told.get("stop_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
        if let Some(reason) = reason {
            self.stop = Some(reason.to_owned());
            self.complete = true;
        }
    }

    fn say(&mut self, text: &str, deltas: &dyn DeltaSink) -> Result<(), ModelError> {
        self.grow(text.len())?;
        self.content.push_str(text);
        if !text.is_empty() {
            deltas.text(text);
        }
        Ok(())
    }

    fn think(&mut self, text: &str) -> Result<(), ModelError> {
        self.grow(text.len())?;
        self.thinking += i64::try_from(text.chars().count()).unwrap_or(0);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.size += bytes;
        if self.size > MAX_SIZE { Err(protocol("an answer beyond all bounds")) } else { Ok(()) }
    }

    /// Our own count of the answer's tokens, shown and thought.
    fn estimate(&self) -> (i64, i64) {
        let calls = self.calls.iter().map(|call| {
            let input =
                if call.arguments.is_empty() { call.input.to_string() } else { call.arguments.clone() };
            estimate_tokens(&call.name) + estimate_tokens(&input)
        });
        (estimate_tokens(&self.content) + calls.sum::<i64>(), (self.thinking + 3) / 4)
    }
}

impl Tokens {
    fn read(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        for (kind, path) in [
            (&mut self.input, "/input_tokens"),
            (&mut self.cache_read, "/cache_read_input_tokens"),
            (&mut self.cache_write, "/cache_creation_input_tokens"),
            (&mut self.output, "/output_tokens"),
            (&mut self.thinking, "/output_tokens_details/thinking_tokens"),
        ] {
            // Later counts replace earlier ones; a kind that is not told again keeps what it had.
            *kind = usage.pointer(path).and_then(count).or(*kind);
        }
    }

    /// `input_tokens` excludes what the cache gave and took; `output_tokens` includes thinking.
    fn usage(&self, request: &ModelRequest, answer: (i64, i64)) -> Usage {
        let (cache_read, cache_write) = (self.cache_read.unwrap_or(0), self.cache_write.unwrap_or(0));
        let prompt = self.input.filter(|input| input.saturating_add(cache_read + cache_write) > 0);
        let output = self.output.filter(|output| *output > 0 || prompt.is_some());
        let (output, reasoning) = match output {
            None => answer,
            Some(all) => {
                let thought = self.thinking.unwrap_or(0).min(all);
                (all - thought, thought)
            }
        };
        Usage {
            input: prompt.unwrap_or_else(|| estimate_prompt(request)),
            cache_read,
            cache_write,
            output,
            reasoning,
            estimated: prompt.is_none() || self.output.is_none(),
        }
    }
}

fn index(event: &Value) -> u64 {
    event.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// A count that is not negative and small enough to add up.
fn count(value: &Value) -> Option<i64> {
    let number = value.as_i64().or_else(|| value.as_f64().map(|float| float as i64))?;
    Some(number.clamp(0, 1 << 40))
}
