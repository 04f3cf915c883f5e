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

    /// Tokens of what was sent.
    pub fn prompt(&self) -> i64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// Tokens of what came back.
    pub fn answer(&self) -> i64 {
        self.output.saturating_add(self.reasoning)
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
/// Providers explain tools to the model in words of their own.
const TOOLS_OVERHEAD: i64 = 600;

/// About four characters a token, the rule of thumb for English text of the well-known tokenisers.
pub fn estimate_tokens(text: &str) -> i64 {
    i64::try_from(text.chars().count().div_ceil(4)).unwrap_or(i64::MAX)
}

/// More than any text becomes in practice: a token has two letters or one other byte at the least. A
/// byte is the least that a token of any tokeniser stands for.
pub fn most_tokens(text: &str) -> i64 {
    let letters = text.bytes().filter(|byte| byte.is_ascii_alphabetic() || *byte == b' ').count();
    i64::try_from(letters.div_ceil(2) + text.len() - letters).unwrap_or(i64::MAX)
}

/// Tokens of everything that the request sends: messages, tool calls, tool definitions, output schema.
pub fn estimate_prompt(request: &ModelRequest) -> i64 {
    prompt(request, estimate_tokens)
}

/// As many as it can become.
pub fn most_prompt(request: &ModelRequest) -> i64 {
    let tools = if request.tools.is_empty() { 0 } else { TOOLS_OVERHEAD };
    prompt(request, most_tokens).saturating_add(tools)
}

fn prompt(request: &ModelRequest, tokens: fn(&str) -> i64) -> i64 {
    let messages = request.messages.iter().map(|said| MESSAGE_OVERHEAD + message(said, tokens));
    let tools = request
        .tools
        .iter()
        .map(|tool| tokens(&tool.name) + tokens(&tool.description) + tokens(&tool.parameters.to_string()));
    let schema = request.output_schema.iter().map(|schema| tokens(&schema.to_string()));
    messages.chain(tools).chain(schema).sum()
}

fn message(message: &Message, tokens: fn(&str) -> i64) -> i64 {
    match message {
        Message::System { content } | Message::User { content } => tokens(content),
        Message::Tool { content, call_id, name: _ } => tokens(content) + tokens(call_id),
        Message::Assistant { content, tool_calls } => {
            let calls =
                tool_calls.iter().map(|call| tokens(&call.name) + tokens(&call.arguments)).sum::<i64>();
            content.as_deref().map_or(0, tokens) + calls
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_more_than_the_estimate() {
        for (text, most) in [("", 0), ("a", 1), ("ab", 1), ("Be brief.", 5), ("1234567890", 10), ("日本", 6)]
        {
            assert_eq!(most_tokens(text), most, "{text}");
            assert!(most >= estimate_tokens(text), "{text}");
        }
    }
}
