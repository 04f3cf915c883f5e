//! Recognising a model that goes round in circles.
//!
//! The third equal call is made and the model is told so; when it makes the call again in a later
//! turn, the run fails. So does a run of three turns in which no call was valid.

use entity::tasks::task_run::RunReason;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::history::{History, Turn};
use crate::runtime::end::{End, Flow};
use crate::runtime::models::ToolCall;
use crate::runtime::tools::canonical_json;

pub(super) const UNKNOWN_TOOL: &str = "unknown_tool";
pub(super) const INVALID_ARGUMENTS: &str = "invalid_arguments";
const EQUAL_CALLS: u32 = 3;
const INVALID_TURNS: usize = 3;

pub(super) type Fingerprint = [u8; 32];

/// The same for the same tool with equal arguments, however they are written.
pub(super) fn fingerprint(call: &ToolCall) -> Fingerprint {
    let arguments = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(arguments) => canonical_json(&arguments),
        Err(_) => call.arguments.clone(),
    };
    Sha256::digest(format!("{}\n{arguments}", call.name)).into()
}

/// What the model is told beside the outcome of its third equal call.
pub(super) fn notice(occurrence: u32) -> Option<String> {
    (occurrence == EQUAL_CALLS).then(|| {
        format!("You made this call {EQUAL_CALLS} times with the same arguments. Do not make it again.")
    })
}

/// Ends a run whose last turn makes a call again although the model was told not to.
pub(super) fn check_calls(turn: &Turn) -> Flow {
    match turn.calls.iter().find(|entry| entry.before >= EQUAL_CALLS) {
        None => Ok(()),
        Some(entry) => {
            let message = format!("{} was called again and again with the same arguments.", entry.call.name);
            Err(End::failed(RunReason::NoProgress, "repeated_call", message))
        }
    }
}

/// Ends a run whose last turns had only invalid calls.
pub(super) fn check_turns(history: &History) -> Flow {
    let invalid = |turn: &&Turn| {
        let codes = turn.calls.iter().map(|entry| entry.error_code());
        !turn.calls.is_empty()
            && codes.into_iter().all(|code| matches!(code, Some(UNKNOWN_TOOL | INVALID_ARGUMENTS)))
    };
    if history.turns.iter().rev().take_while(invalid).count() < INVALID_TURNS {
        return Ok(());
    }
    let message = format!("The model made only invalid tool calls in {INVALID_TURNS} turns in a row.");
    Err(End::failed(RunReason::NoProgress, "invalid_calls", message))
}
