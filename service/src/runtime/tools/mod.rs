//! Tool executors: what happens when an agent, a definition or a person calls a tool.
//!
//! The caller has validated the arguments against the tool's schema, applied the policy and written
//! the intent. An executor makes one attempt and says what is known of its effect. Invariants:
//! arguments and answers are data, never templates; a secret goes only to hosts it is bound to and
//! never into an outcome; output is at most `max_output_bytes`.

mod agent;
pub mod api;
mod canonical;
mod config;
pub mod function;
mod name;
mod output;
mod secret;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::agents::tool::ToolType;
use serde_json::Value;

pub use self::agent::AgentCallConfig;
pub use self::api::ApiConfig;
pub use self::canonical::canonical_json;
pub use self::function::{FunctionConfig, Waits, builtin};
pub use self::name::check_tool_name;
pub use self::secret::{BoundSecret, NoSecrets, SecretSource, place};
use crate::clock::Clock;
use crate::egress::Egress;
use crate::engine::Wait;
use crate::error::Error;

/// Bytes of an output as compact JSON, unless the caller says otherwise.
pub const DEFAULT_MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// What one call may use.
pub struct ToolCallContext<'a> {
    pub egress: &'a Egress,
    pub clock: &'a Clock,
    pub secrets: &'a dyn SecretSource,
    /// `run:step:call`, the same for every attempt of a call. API tools send it as `Idempotency-Key`
    /// with methods that change something.
    pub effect_key: &'a str,
    /// For the whole call.
    pub timeout: Duration,
    pub max_output_bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ToolOutcome {
    Success { output: Value },
    Failure(ToolFailure),
}

/// Why a call gave no output. `message` may quote what the other side said; it is data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFailure {
    pub code: &'static str,
    pub message: String,
    /// The same call may work later.
    pub retryable: bool,
    /// The effect may have happened: a tool marked ONCE is not repeated.
    pub outcome_unknown: bool,
}

impl ToolFailure {
    /// A failure before anything happened, that no repetition mends.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, outcome_unknown: false }
    }
}

impl From<Result<Value, ToolFailure>> for ToolOutcome {
    fn from(result: Result<Value, ToolFailure>) -> Self {
        match result {
            Ok(output) => Self::Success { output },
            Err(failure) => Self::Failure(failure),
        }
    }
}

/// A stored configuration, checked and compiled.
#[derive(Debug)]
pub enum ToolConfig {
    Api(Box<ApiConfig>),
    Function(FunctionConfig),
    Agent(AgentCallConfig),
}

impl ToolConfig {
    /// What a worker offers who executes its calls; `None` where they are made here.
    pub fn capability(&self) -> Option<String> {
        match self {
            Self::Function(config) if builtin::find(&config.function).is_none() => {
                Some(format!("function:{}", config.function))
            }
            Self::Api(_) | Self::Function(_) | Self::Agent(_) => None,
        }
    }

    /// # Errors
    /// [`Error::Invalid`] with pointers that start with `/config`.
    pub fn parse(kind: ToolType, config: &Value) -> Result<Self, Error> {
        match kind {
            ToolType::Api => ApiConfig::parse(config).map(Box::new).map(Self::Api),
            ToolType::Function => FunctionConfig::parse(config).map(Self::Function),
            ToolType::Agent => AgentCallConfig::parse(config).map(Self::Agent),
        }
    }
}

impl ToolConfig {
    /// Whether a call is not made but waited for, without a slot.
    pub fn is_wait(&self) -> bool {
        matches!(self, Self::Function(config) if config.is_wait())
    }

    /// What the step's call with these arguments waits for; `None` where calls are made.
    pub fn wait(
        &self,
        step: i32,
        arguments: &Value,
        now: DateTime<Utc>,
    ) -> Option<Result<Wait, ToolFailure>> {
        match self {
            Self::Api(_) | Self::Agent(_) => None,
            Self::Function(config) => config.wait(step, arguments, now),
        }
    }
}

/// One attempt. What is a child run is started by who calls it.
pub async fn execute(config: &ToolConfig, arguments: &Value, cx: &ToolCallContext<'_>) -> ToolOutcome {
    match config {
        ToolConfig::Api(config) => api::execute(config, arguments, cx).await.into(),
        ToolConfig::Function(config) => function::execute(config, arguments, cx).await.into(),
        ToolConfig::Agent(_) => {
            ToolOutcome::Failure(ToolFailure::new("child_run", "An agent is run, not executed."))
        }
    }
}
