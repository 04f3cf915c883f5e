//! Whatever was acknowledged is there, once, and has ended; what was seen to have ended has not changed.

use std::collections::HashMap;

use entity::tasks::task_run::{Model, RunReason, RunStatus};
use serde_json::{Value, json};

use super::Story;
use crate::chaos::history::{Record, Seen, Verb};

pub fn check(record: &Record, story: &Story) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut cases: HashMap<&str, Vec<&Model>> = HashMap::new();
    for run in story.runs.values() {
        cases.entry(run.metadata["case"].as_str().unwrap_or_default()).or_default().push(run);
    }
    for creation in &record.creations {
        let made = cases.get(creation.case.as_str()).map_or(0, Vec::len);
        if made > 1 {
            wrong.push(format!("{} was asked for once and made {made} times", creation.case));
        }
        let Some(first) = creation.acknowledged.first() else { continue };
        if creation.acknowledged.iter().any(|id| id != first) {
            wrong.push(format!(
                "{} was answered with several runs: {:?}",
                creation.case, creation.acknowledged
            ));
        }
        match story.runs.get(first) {
            None => wrong.push(format!("{first} ({}) was acknowledged and is lost", creation.case)),
            Some(run) if run.metadata["case"] == json!(creation.case) => {}
            Some(run) if run.dedupe_key.is_some() && run.dedupe_key == creation.dedupe_key => {}
            Some(run) => {
                wrong.push(format!("{} was answered with the run of {}", creation.case, run.metadata))
            }
        }
    }
    for run in story.runs.values() {
        wrong.extend(end(run, story).map(|what| format!("{}: {what}; {}", run.id, story.told(run.id))));
    }
    wrong.extend(record.seen.iter().filter_map(|seen| changed(seen, story)));
    wrong.extend(wishes(record, story));
    wrong
}

/// Nothing is left over, and nothing fails but for executors that were lost.
fn end(run: &Model, story: &Story) -> Option<String> {
    match (run.status, run.reason) {
        (RunStatus::Completed, _) => None,
        (RunStatus::Cancelled, _) if story.count(run.id, "run.cancelled") > 0 => None,
        (RunStatus::Failed, RunReason::WorkerLost) if story.count(run.id, "run.lease_lost") >= 2 => None,
        // Of a graph whose step was cancelled or lost.
        (RunStatus::Failed, RunReason::DependencyFailed) if run.children > 0 => None,
        (status, reason) => Some(format!("it is {status:?}({reason:?}) at the end, {:?}", run.error)),
    }
}

/// A completed run stays what it is; a failed or cancelled one unless it is retried.
fn changed(seen: &Seen, story: &Story) -> Option<String> {
    let Some(run) = story.runs.get(&seen.run) else {
        return Some(format!("{} was seen and is lost", seen.run));
    };
    let now = json!({ "status": run.status, "output": run.output, "completedAt": run.completed_at, "cost": run.cost_nanos });
    let same = Seen::essence(&seen.view).iter().zip(Seen::essence(&now)).all(|(seen, now)| same(seen, now));
    let retried = seen.status != "COMPLETED" && story.count(run.id, "run.retried") > 0;
    (!same && !retried)
        .then(|| format!("{} was seen as {} and became {now}; {}", seen.run, seen.view, story.told(run.id)))
}

/// Times are compared as such.
fn same(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok();
    match (time(one), time(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// An acknowledged wish is on the run's timeline, and nothing is there that nobody wished for.
fn wishes(record: &Record, story: &Story) -> Vec<String> {
    let mut counts: HashMap<_, (usize, usize)> = HashMap::new();
    for wish in &record.wishes {
        let (sure, doubtful) = counts.entry((wish.run, wish.verb == Verb::Cancel)).or_default();
        match wish.granted {
            Some(true) => *sure += 1,
            None => *doubtful += 1,
            Some(false) => {}
        }
    }
    let mut wrong = Vec::new();
    // What becomes of children their parents decide.
    let own = story.runs.values().filter(|run| run.parent_run_id.is_none()).map(|run| &run.id);
    for run in own {
        let (sure, doubtful) = counts.get(&(*run, false)).copied().unwrap_or_default();
        let retried = story.count(*run, "run.retried");
        if !(sure..=sure + doubtful).contains(&retried) {
            let asked = format!("{sure} retries were granted and {doubtful} in doubt");
            wrong.push(format!("{run}: {asked}, it was retried {retried} times; {}", story.told(*run)));
        }
        let (sure, doubtful) = counts.get(&(*run, true)).copied().unwrap_or_default();
        let told = story.count(*run, "run.cancel_requested") + story.count(*run, "run.cancelled");
        if sure > 0 && told == 0 {
            wrong.push(format!("{run}: a cancel was granted and is lost; {}", story.told(*run)));
        }
        if sure + doubtful == 0 && told > 0 {
            wrong.push(format!("{run}: nobody cancelled it; {}", story.told(*run)));
        }
    }
    wrong
}
