//! The run so far, as a fold over its journal.
//!
//! Invariant: a live run and a resumed one apply the same steps through [`History::apply`], so both
//! come to the same next request and the same verdicts.

use std::collections::HashMap;
use std::time::Duration;

use entity::money::Nanos;
use entity::tasks::run_step;
use entity::tasks::run_step::{StepKind, StepStatus};
use serde_json::Value;

use super::repetition::{self, Fingerprint};
use crate::engine::Step;
use crate::runtime::models::{Message, ToolCall, Usage};

/// The code of a model call that did not fit into the model's window.
const TOO_LONG: &str = "model_context_overflow";

#[derive(Default)]
pub(super) struct History {
    pub turns: Vec<Turn>,
    pub cost: Nanos,
    /// Failed attempts at the model call that comes next.
    pub failed_tries: u32,
    /// How often a provider said that a request is too long for the model.
    pub too_long: u32,
    last_step: i32,
    seen: HashMap<Fingerprint, u32>,
}

/// A finished model call and what became of the tool calls in it.
pub(super) struct Turn {
    pub step: i32,
    pub content: Option<String>,
    pub stop_reason: Option<String>,
    pub calls: Vec<Entry>,
}

pub(super) struct Entry {
    pub call: ToolCall,
    /// How often the same call was made before this turn.
    pub before: u32,
    /// Which of the same calls of the run it is, from 1.
    pub occurrence: u32,
    pub state: State,
}

pub(super) enum State {
    Open,
    /// The intent is written, the outcome is not.
    Started(Box<Step>),
    Done {
        /// Whether it was executed, rather than refused.
        executed: bool,
        /// `{output, note?}` or `{error: {code, message}, note?}`.
        response: Value,
    },
}

impl History {
    pub fn next_step(&self) -> i32 {
        self.last_step.saturating_add(1)
    }

    /// The number of the turn that comes next, from 1.
    pub fn next_turn(&self) -> i32 {
        i32::try_from(self.turns.len()).unwrap_or(i32::MAX).saturating_add(1)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.turns.iter().flat_map(|turn| &turn.calls)
    }

    pub fn apply(&mut self, step: &Step) {
        self.last_step = self.last_step.max(step.number);
        self.cost += step.cost;
        match (step.kind, step.status) {
            (StepKind::Model, StepStatus::Completed) => self.begin_turn(step),
            (StepKind::Model, StepStatus::Failed) => {
                let tries = step.response.as_ref().and_then(|response| response.get("tries"));
                let tries = tries.and_then(Value::as_u64).and_then(|tries| u32::try_from(tries).ok());
                self.failed_tries = self.failed_tries.saturating_add(tries.unwrap_or(0));
                self.too_long += u32::from(error_code(step.response.as_ref()) == Some(TOO_LONG));
            }
            (StepKind::Tool | StepKind::Agent | StepKind::Wait, _) => self.advance_call(step),
            _ => {}
        }
    }

    fn begin_turn(&mut self, step: &Step) {
        self.failed_tries = 0;
        let message = step.response.clone().and_then(|response| serde_json::from_value(response).ok());
        let (content, calls) = match message {
            Some(Message::Assistant { content, tool_calls }) => (content, tool_calls),
            _ => (None, Vec::new()),
        };
        let prints: Vec<Fingerprint> = calls.iter().map(repetition::fingerprint).collect();
        let before: Vec<u32> =
            prints.iter().map(|print| self.seen.get(print).copied().unwrap_or(0)).collect();
        let calls = calls.into_iter().zip(prints).zip(before).map(|((call, print), before)| {
            let occurrence = self.seen.entry(print).or_default();
            *occurrence = occurrence.saturating_add(1);
            Entry { call, before, occurrence: *occurrence, state: State::Open }
        });
        let calls = calls.collect();
        self.turns.push(Turn { step: step.number, content, stop_reason: step.stop_reason.clone(), calls });
    }

    fn advance_call(&mut self, step: &Step) {
        let calls = self.turns.last_mut().map(|turn| turn.calls.as_mut_slice()).unwrap_or_default();
        let entry = calls.iter_mut().find(|entry| Some(&entry.call.id) == step.call_id.as_ref());
        let Some(entry) = entry else { return };
        entry.state = match step.status {
            StepStatus::Started => State::Started(Box::new(step.clone())),
            StepStatus::Completed | StepStatus::Failed | StepStatus::Skipped => State::Done {
                executed: step.effect_key.is_some(),
                response: step.response.clone().unwrap_or_default(),
            },
        };
    }
}

impl Entry {
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    /// Whether it was executed, or may have been.
    pub fn is_executed(&self) -> bool {
        matches!(self.state, State::Started(_) | State::Done { executed: true, .. })
    }

    pub fn is_waiting(&self) -> bool {
        matches!(&self.state, State::Started(step) if step.kind == StepKind::Wait)
    }

    pub fn output(&self) -> Option<&Value> {
        match &self.state {
            State::Done { response, .. } => response.get("output"),
            _ => None,
        }
    }

    pub fn error_code(&self) -> Option<&str> {
        match &self.state {
            State::Done { response, .. } => error_code(Some(response)),
            _ => None,
        }
    }
}

fn error_code(response: Option<&Value>) -> Option<&str> {
    response?.pointer("/error/code")?.as_str()
}

/// A stored step in the form in which it was recorded.
pub(super) fn recorded(model: run_step::Model) -> Step {
    let usage = Usage {
        input: model.tokens_input,
        cache_read: model.tokens_cache_read,
        cache_write: model.tokens_cache_write,
        output: model.tokens_output,
        reasoning: model.tokens_reasoning,
        estimated: false,
    };
    Step {
        number: model.number,
        kind: model.kind,
        status: model.status,
        turn: model.turn,
        name: model.name,
        tool_id: model.tool_id,
        call_id: model.call_id,
        effect_key: model.effect_key,
        request: model.request,
        response: model.response,
        stop_reason: model.stop_reason,
        usage,
        cost: model.cost_nanos,
        unpriced: model.unpriced,
        latency: Duration::from_millis(u64::try_from(model.latency_ms).unwrap_or(0)),
    }
}
