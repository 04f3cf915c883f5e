//! A lease is taken away when it has ended, or by the node that held it and started again.

use chrono::TimeDelta;
use entity::tasks::task_run::Model;

use super::Story;
use crate::chaos::Stage;

/// How far the clocks of processes on one machine may be apart.
const APART: TimeDelta = TimeDelta::milliseconds(100);

pub fn check(run: &Model, stage: &Stage, story: &Story) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut attempt = 0;
    for event in story.events(run.id) {
        match event.kind.as_str() {
            "run.started" => {
                attempt = event.data["attempt"].as_i64().and_then(|n| n.try_into().ok()).unwrap_or(0)
            }
            "run.lease_lost" => {
                // An attempt may be too short to be seen.
                let Some(lease) = stage.watch.lease(run.id, attempt) else { continue };
                let own = lease.node.is_some_and(|node| stage.cluster.restarted(&node, event.created_at));
                if !own && event.created_at + APART < lease.until {
                    wrong.push(format!(
                        "attempt {attempt} lost at {} a lease until {}",
                        event.created_at, lease.until
                    ));
                }
            }
            _ => {}
        }
    }
    wrong
}
