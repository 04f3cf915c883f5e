//! What became of the waits of a run, as its next attempt reads them.

use entity::tasks::run_wait::{Model, WaitExpiry, WaitKind, WaitStatus};
use entity::tasks::task_run::RunReason;
use serde_json::Value;

use super::end::{End, Flow};

/// The code of a call for which nothing came.
pub(super) const EXPIRED: &str = "wait_expired";

pub(super) enum Settled {
    /// What the call gives.
    Answered(Value),
    /// Nothing came in time.
    Expired(String),
}

/// The end of the wait of that step; `None` while there is none, or it was cancelled with its run. An expiry that
/// fails the run does so here.
pub(super) fn settled(waits: &[Model], step: i32) -> Flow<Option<Settled>> {
    let mine = waits.iter().rev().filter(|wait| wait.step_number == step);
    for wait in mine {
        match (wait.status, wait.on_expire) {
            (WaitStatus::Satisfied, _) => {
                return Ok(Some(Settled::Answered(wait.answer.clone().unwrap_or_default())));
            }
            (WaitStatus::Expired, WaitExpiry::Fail) => {
                return Err(End::failed(RunReason::TimedOut, EXPIRED, nothing_came(wait)));
            }
            (WaitStatus::Expired, WaitExpiry::Continue) => {
                return Ok(Some(Settled::Expired(nothing_came(wait))));
            }
            (WaitStatus::Open | WaitStatus::Cancelled, _) => {}
        }
    }
    Ok(None)
}

fn nothing_came(wait: &Model) -> String {
    match (wait.kind, &wait.key) {
        (WaitKind::UserInput, _) => "Nobody answered in time.".to_owned(),
        (_, Some(key)) => format!("No event with the key {key:?} came in time."),
        (_, None) => "Nothing came in time.".to_owned(),
    }
}
