//! Workers over HTTP that lose their answers, vanish with a lease in their hands and come back too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Stage;
use super::callers::{Caller, Told};
use super::dice::Dice;
use super::plan::LEASE;
use crate::support::workers::Lease;

pub const CAPABILITY: &str = "function:remote";
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: u32 = 100;

/// What late workers tried.
#[derive(Debug, Default)]
pub struct Stale {
    /// Ends of attempts that were told after their lease was over.
    pub tried: AtomicU64,
    pub refused: AtomicU64,
}

/// Claims and ends runs until it is told to stop.
pub async fn work(stage: Arc<Stage>, number: usize, dice: Dice, stop: CancellationToken) {
    let caller = Caller { stage, number, dice };
    let body = json!({ "name": format!("worker {number}"), "capabilities": [CAPABILITY], "slots": 4 });
    let Some(Told { answer, .. }) = caller.post("register", "/v1/workers", None, &body, TRIES).await else {
        return;
    };
    let path = format!("/v1/workers/{}/claim", answer.body["id"].as_str().unwrap());
    while !stop.is_cancelled() {
        let claim = json!({ "max": 1, "waitMs": 200 });
        let Some(Told { answer, .. }) = caller.post("claim", &path, None, &claim, 1).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if answer.status != 200 {
            caller.wrong("claim", &answer);
            return;
        }
        for item in answer.body["data"].as_array().unwrap() {
            execute(&caller, &Lease::of(item), item).await;
        }
    }
}

async fn execute(caller: &Caller, lease: &Lease, item: &Value) {
    let output = json!({ "case": item["tool"]["arguments"]["case"], "attempt": lease.attempt });
    tokio::time::sleep(Duration::from_millis(caller.dice.below(60))).await;
    match caller.dice.below(100) {
        0..70 => drop(end(caller, lease, "complete", json!({ "output": output })).await),
        70..80 => drop(end(caller, lease, "release", json!({})).await),
        // Its process was killed.
        80..90 => {}
        // Its process was stopped, and does not know for how long.
        _ => {
            tokio::time::sleep(LEASE + PAUSE).await;
            caller.stage.stale.tried.fetch_add(1, Ordering::Relaxed);
            match end(caller, lease, "complete", json!({ "output": output })).await {
                Some(409) => drop(caller.stage.stale.refused.fetch_add(1, Ordering::Relaxed)),
                None => {}
                Some(status) => {
                    let told = format!("{}: an end after its lease was answered {status}", lease.run);
                    caller.stage.history.record().wrong.push(told);
                }
            }
        }
    }
}

/// The status of the answer, where there was one. An end whose answer was lost is told again.
async fn end(caller: &Caller, lease: &Lease, verb: &str, more: Value) -> Option<u16> {
    let mut body = json!({ "leaseToken": lease.token });
    body.as_object_mut()?.extend(more.as_object()?.clone());
    let path = format!("{}/{verb}", lease.path());
    let Told { answer, .. } = caller.post(verb, &path, None, &body, TRIES).await?;
    let is_known = answer.status == 200 || (answer.status == 409 && answer.body["code"] == "lease_lost");
    if !is_known {
        caller.wrong(verb, &answer);
    }
    Some(answer.status)
}
