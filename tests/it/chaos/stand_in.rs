//! The model and the tools' other side, which count what is asked of them.
//!
//! What a user says is the script of the answers: `case|charge|echo send` asks for one call, then for two side by
//! side, then says `done`.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use service::clock::Clock;

use crate::support::model_server::{Conversation, ModelServer, Reply, frames};

/// A model call, by what its user said.
#[derive(Clone, Debug)]
pub struct Ask {
    pub at: DateTime<Utc>,
    pub said: String,
    pub turn: usize,
    pub messages: Vec<Value>,
}

pub struct StandIn {
    pub server: ModelServer,
    asks: Arc<Mutex<Vec<Ask>>>,
}

impl StandIn {
    pub fn start(clock: Clock) -> Self {
        let asks = Arc::<Mutex<Vec<Ask>>>::default();
        let log = asks.clone();
        let server = ModelServer::start(move |conversation| {
            let Conversation { said, turn, messages, .. } = conversation.clone();
            log.lock().unwrap().push(Ask { at: clock.now(), said, turn, messages });
            reply(conversation)
        });
        Self { server, asks }
    }

    pub fn asks(&self) -> Vec<Ask> {
        self.asks.lock().unwrap().clone()
    }
}

fn reply(conversation: &Conversation) -> Reply {
    let names = calls(&conversation.said, conversation.turn);
    let ids: Vec<_> = names.iter().map(|name| format!("call_{}_{name}", conversation.turn)).collect();
    let calls: Vec<_> = ids
        .iter()
        .zip(&names)
        .map(|(id, name)| (id.as_str(), *name, json!({ "case": conversation.said })))
        .collect();
    Reply::Frames(frames(if calls.is_empty() { "done" } else { "" }, &calls))
}

/// The tools that the script calls in a turn.
pub fn calls(said: &str, turn: usize) -> Vec<&str> {
    said.split('|').nth(turn + 1).unwrap_or_default().split_whitespace().collect()
}

/// How many model turns the script has.
pub fn turns(said: &str) -> usize {
    said.split('|').count()
}
