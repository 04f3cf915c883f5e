//! Model providers behind one trait: the neutral shapes of a chat turn and who can answer it.
//!
//! A provider makes exactly one attempt. Retry, fallback, limits and money are the loop's business;
//! [`ModelError::is_retryable`] and `retry_after` tell it what it needs to decide.

pub mod anthropic;
mod decoder;
mod error;
mod message;
pub mod mock;
pub mod openai;
mod refusals;
mod sse;
mod usage;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use anthropic::Anthropic;
pub use error::{ModelError, ModelErrorKind};
pub use message::{Message, ToolCall, ToolSpec};
pub use mock::Mock;
pub use openai::OpenAiCompatible;
pub use usage::{Usage, estimate_prompt, estimate_tokens, most_prompt};

/// One turn asked of a model.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    pub model: String,
    pub messages: Vec<Message>,
    pub tools: Vec<ToolSpec>,
    pub temperature: Option<f64>,
    /// The most tokens the answer may have, reasoning included.
    pub max_tokens: u32,
    /// JSON Schema that the final answer has to fit.
    pub output_schema: Option<Value>,
    /// Model turns already finished in this run; with `input` and `attempt` all that a mock model knows.
    pub turn: u32,
    /// The run's input, for the mock models. Never sent to a provider.
    pub input: Value,
    /// Failed attempts of this very call so far: 0 for the first.
    pub attempt: u32,
    /// The same for every attempt of this call.
    pub idempotency_key: String,
    /// The longest silence of the provider, before its answer begins and within its stream.
    pub timeout: Duration,
}

/// A complete turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelReply {
    pub content: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub usage: Usage,
    pub stop_reason: StopReason,
    /// As the provider reported it: often a dated version of the one asked for.
    pub model: String,
    pub request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StopReason {
    EndTurn,
    ToolCalls,
    MaxTokens,
    ContentFilter,
    Other,
}

/// Receives the answer's text while it arrives. Called on the provider's task, so it must be cheap
/// and must not block; any `Fn(&str)` is one.
pub trait DeltaSink: Send + Sync {
    fn text(&self, fragment: &str);
}

impl<F: Fn(&str) + Send + Sync> DeltaSink for F {
    fn text(&self, fragment: &str) {
        self(fragment);
    }
}

#[async_trait]
pub trait ModelProvider: Send + Sync {
    /// One attempt at one turn. The fragments given to `deltas` concatenate to the reply's content.
    async fn complete(
        &self,
        request: &ModelRequest,
        deltas: &dyn DeltaSink,
    ) -> Result<ModelReply, ModelError>;

    /// The models that the credential may use: a cheap proof that an integration works.
    async fn list_models(&self) -> Result<Vec<String>, ModelError>;
}
