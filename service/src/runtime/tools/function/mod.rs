//! FUNCTION tools: code that runs where the code is. Built-ins run here; every other name belongs to
//! a worker that lists it among its capabilities.

pub mod builtin;
#[cfg(test)]
mod tests;
mod waits;

pub use waits::Waits;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{ToolCallContext, ToolFailure, config, output};
use crate::engine::Wait;
use crate::error::Error;

/// `{"function": "builtin/echo"}`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct FunctionConfig {
    /// `^[a-z0-9_/-]{1,64}$`
    pub function: String,
}

impl FunctionConfig {
    /// # Errors
    /// [`Error::Invalid`] under `/config`; a name under `builtin/` has to exist.
    pub fn parse(config: &Value) -> Result<Self, Error> {
        let parsed: Self = config::parse(config)?;
        let safe = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'/' | b'-');
        if !(1..=64).contains(&parsed.function.len()) || !parsed.function.bytes().all(safe) {
            let message = "A function's name has 1 to 64 of a-z, 0-9, _, / and -.";
            return Err(Error::invalid("/config/function", "name", message));
        }
        if parsed.function.starts_with("builtin/") && builtin::find(&parsed.function).is_none() {
            return Err(Error::invalid("/config/function", "unknown_builtin", "There is no such built-in."));
        }
        Ok(parsed)
    }
}

impl FunctionConfig {
    fn waits(&self) -> Option<waits::Waits> {
        match builtin::find(&self.function)?.function {
            builtin::Function::Wait(waits) => Some(waits),
            _ => None,
        }
    }

    /// Whether a call is a wait of its run.
    pub fn is_wait(&self) -> bool {
        self.waits().is_some()
    }

    /// What a call with these arguments waits for.
    pub(super) fn wait(
        &self,
        step: i32,
        arguments: &Value,
        now: DateTime<Utc>,
    ) -> Option<Result<Wait, ToolFailure>> {
        Some(self.waits()?.wait(step, arguments, now))
    }
}

pub(super) async fn execute(
    config: &FunctionConfig,
    arguments: &Value,
    cx: &ToolCallContext<'_>,
) -> Result<Value, ToolFailure> {
    let Some(builtin) = builtin::find(&config.function) else {
        let message = format!("No worker offers the function {}.", config.function);
        return Err(ToolFailure { retryable: true, ..ToolFailure::new("no_worker", message) });
    };
    let call = builtin::call(builtin.function, arguments, cx.clock);
    let Ok(result) = tokio::time::timeout(cx.timeout, call).await else {
        let message = "The function did not end in time.";
        return Err(ToolFailure { retryable: true, ..ToolFailure::new("timeout", message) });
    };
    output::cap(result?, cx.max_output_bytes)
}
