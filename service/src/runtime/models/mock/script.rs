//! `mock/script`: plays the turn of `input.script` whose index is the number of finished turns.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{DeltaSink, ModelError, ModelErrorKind, ModelReply, ModelRequest, StopReason, ToolCall, Usage};

const MAX_DELAY: Duration = Duration::from_secs(600);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// One scripted turn. `delayMs` passes first, then the text streams, then `error` strikes.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Turn {
    /// By default the concatenated `deltas`.
    text: Option<String>,
    /// Fragments to stream, by default pieces of `text`.
    deltas: Vec<String>,
    tool_calls: Vec<Call>,
    usage: Option<Usage>,
    error: Option<Failure>,
    /// At most ten minutes. Longer than the request's timeout, it is a TIMEOUT.
    delay_ms: u64,
    /// Between two fragments, at most ten seconds.
    delta_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    /// A string is sent verbatim, so that a script can send arguments that are not JSON.
    #[serde(default)]
    arguments: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Failure {
    kind: ModelErrorKind,
    retry_after_ms: Option<u64>,
    /// Attempts that fail; without it, all of them.
    times: Option<u32>,
}

pub(super) async fn play(request: &ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelReply, ModelError> {
    let Some(turn) = turn(request)? else {
        return Ok(super::answer(request, "(end of script)".to_owned(), deltas));
    };
    delay(request, Duration::from_millis(turn.delay_ms)).await?;
    let fragments = match &turn.text {
        Some(text) if turn.deltas.is_empty() => super::fragments(text),
        _ => turn.deltas.clone(),
    };
    let pause = Duration::from_millis(turn.delta_ms).min(MAX_PAUSE);
    for fragment in &fragments {
        deltas.text(fragment);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    if let Some(error) = turn.error.filter(|error| error.times.is_none_or(|times| request.attempt < times)) {
        return Err(ModelError {
            kind: error.kind,
            message: format!("mock/script fails as told in turn {}.", request.turn),
            retry_after: error.retry_after_ms.map(|ms| Duration::from_millis(ms).min(MAX_DELAY)),
        });
    }
    let streamed = (!turn.deltas.is_empty()).then(|| turn.deltas.concat());
    let tool_calls: Vec<ToolCall> = turn
        .tool_calls
        .into_iter()
        .enumerate()
        .map(|(index, Call { name, arguments })| {
            let arguments = match arguments {
                Value::String(verbatim) => verbatim,
                Value::Null => "{}".to_owned(),
                value => value.to_string(),
            };
            super::call(request, index, &name, arguments)
        })
        .collect();
    let stop_reason = if tool_calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolCalls };
    let mut reply = super::reply(request, turn.text.or(streamed), tool_calls, stop_reason);
    reply.usage = turn.usage.unwrap_or(reply.usage);
    Ok(reply)
}

/// The turn to play, `None` after the last one.
fn turn(request: &ModelRequest) -> Result<Option<Turn>, ModelError> {
    let Some(turns) = request.input.get("script").and_then(Value::as_array) else {
        return Err(invalid("input.script has to be an array of turns."));
    };
    let Some(value) = usize::try_from(request.turn).ok().and_then(|index| turns.get(index)) else {
        return Ok(None);
    };
    let at = format!("input.script/{}", request.turn);
    let turn = Turn::deserialize(value).map_err(|error| invalid(format!("{at}: {error}")))?;
    if turn.text.is_some() && !turn.deltas.is_empty() && turn.text != Some(turn.deltas.concat()) {
        return Err(invalid(format!("{at}: the deltas do not add up to the text.")));
    }
    if turn.usage.is_some_and(|usage| usage.is_negative()) {
        return Err(invalid(format!("{at}: usage cannot be negative.")));
    }
    Ok(Some(turn))
}

async fn delay(request: &ModelRequest, delay: Duration) -> Result<(), ModelError> {
    let delay = delay.min(MAX_DELAY);
    tokio::time::sleep(delay.min(request.timeout)).await;
    if delay > request.timeout {
        return Err(ModelError::new(ModelErrorKind::Timeout, "mock/script was silent for too long."));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> ModelError {
    ModelError::new(ModelErrorKind::InvalidRequest, message)
}
