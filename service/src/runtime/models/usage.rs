//! Tokens in disjoint kinds: each token is counted in exactly one field, so that a price for each
//! kind gives the cost as a plain sum.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::{Message, ModelRequest};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Prompt tokens that came from no cache and went into none.
    pub input: i64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: i64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: i64,
    /// Answer tokens without reasoning.
    pub output: i64,
    pub reasoning: i64,
    /// The provider reported nothing, or not all; we counted characters.
    pub estimated: bool,
}

impl Usage {
    pub fn total(&self) -> i64 {
        self.kinds().into_iter().fold(0, i64::saturating_add)
    }

    /// Whether any kind is negative, which nothing may report.
    pub fn is_negative(&self) -> bool {
        self.kinds().into_iter().any(i64::is_negative)
    }

    fn kinds(&self) -> [i64; 5] {
        [self.input, self.cache_read, self.cache_write, self.output, self.reasoning]
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            estimated: self.estimated || other.estimated,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

const MESSAGE_OVERHEAD: i64 = 4;

/// About four characters a token, the rule of thumb for English text of the well-known tokenisers.
pub fn estimate_tokens(text: &str) -> i64 {
    i64::try_from(text.chars().count().div_ceil(4)).unwrap_or(i64::MAX)
}

/// Tokens of everything that the request sends: messages, tool calls, tool definitions, output schema.
pub fn estimate_prompt(request: &ModelRequest) -> i64 {
    let messages = request.messages.iter().map(|message| MESSAGE_OVERHEAD + estimate_message(message));
    let tools = request.tools.iter().map(|tool| {
        estimate_tokens(&tool.name)
            + estimate_tokens(&tool.description)
            + estimate_tokens(&tool.parameters.to_string())
    });
    let schema = request.output_schema.iter().map(|schema| estimate_tokens(&schema.to_string()));
    messages.chain(tools).chain(schema).sum()
}

fn estimate_message(message: &Message) -> i64 {
    match message {
        Message::System { content } | Message::User { content } => estimate_tokens(content),
        Message::Tool { content, call_id, name: _ } => estimate_tokens(content) + estimate_tokens(call_id),
        Message::Assistant { content, tool_calls } => {
            let calls = tool_calls
                .iter()
                .map(|call| estimate_tokens(&call.name) + estimate_tokens(&call.arguments))
                .sum::<i64>();
            content.as_deref().map_or(0, estimate_tokens) + calls
        }
    }
}
