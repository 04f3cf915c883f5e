//! Batches whose targets are all of one tenant's callers, and what has to be true of them in the end.

use std::collections::HashMap;

use entity::tasks::batch_task::{self, BatchStatus};
use entity::tasks::task_run::RunStatus;
use entity::tasks::task_target::{self, TargetStatus};
use serde_json::json;
use uuid::Uuid;

use super::callers::{Caller, TRIES, Told};
use super::history::id;
use super::verdict::Story;

const TARGETS: u64 = 12;

/// Makes a batch and starts it, asking again for what was not answered.
pub async fn start(caller: &Caller, case: &str) {
    let body =
        json!({ "name": case, "definitionId": caller.stage.targets.batch, "pacing": { "maxInFlight": 4 } });
    let key = format!("batch-{case}");
    let made = caller.post("batch", "/v1/batch-tasks", Some(&key), &body, TRIES).await;
    let Some(batch) =
        made.as_ref().filter(|told| told.answer.status == 201).and_then(|told| id(&told.answer.body))
    else {
        return made.into_iter().for_each(|told| caller.wrong("batch", &told.answer));
    };
    let lines: String = (0..TARGETS)
        .map(|n| {
            json!({ "targetKey": format!("t{n}"), "input": { "case": format!("{case}-{n}") } }).to_string()
                + "\n"
        })
        .collect();
    // The same lines again add nothing: a target has its key once.
    let Some(Told { answer, .. }) =
        caller.upload(&format!("/v1/batch-tasks/{batch}/targets"), &lines, TRIES).await
    else {
        return;
    };
    if answer.status != 200 {
        return caller.wrong("targets", &answer);
    }
    let path = format!("/v1/batch-tasks/{batch}/start");
    let Some(told) = caller.post("start", &path, Some(&format!("start-{case}")), &json!({}), TRIES).await
    else {
        return;
    };
    match told.answer.status {
        200 => caller.stage.history.record().batches.push(batch),
        _ => caller.wrong("start", &told.answer),
    }
}

/// Each target of a started batch is one run, has ended as that run has, and each run is that of one target.
pub fn check(story: &Story, started: &[Uuid], definition: Uuid) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut runs: HashMap<Uuid, usize> = HashMap::new();
    let batches: HashMap<Uuid, &batch_task::Model> =
        story.batches.iter().map(|batch| (batch.id, batch)).collect();
    for batch in started {
        match batches.get(batch) {
            None => wrong.push(format!("the batch {batch} was acknowledged and is lost")),
            Some(batch) if !is_over(batch.status) => {
                wrong.push(format!("the batch {} is {:?} at the end", batch.id, batch.status))
            }
            Some(batch) => {
                let targets = story.targets.iter().filter(|target| target.batch_id == batch.id).count();
                if targets as u64 != TARGETS {
                    wrong.push(format!("the batch {} has {targets} targets of {TARGETS}", batch.id));
                }
            }
        }
    }
    for target in &story.targets {
        wrong.extend(target.run_id.and_then(|run| ended_differently(target, run, story)));
        if let Some(run) = target.run_id {
            *runs.entry(run).or_default() += 1;
        } else if batches.get(&target.batch_id).is_some_and(|batch| is_over(batch.status)) {
            wrong.push(format!("the target {} has no run", target.target_key));
        }
    }
    for run in story.runs.values().filter(|run| run.definition_id == Some(definition)) {
        let count = runs.get(&run.id).copied().unwrap_or(0);
        if count != 1 {
            wrong.push(format!("{} is the run of {count} targets", run.id));
        }
    }
    wrong
}

fn is_over(status: BatchStatus) -> bool {
    matches!(status, BatchStatus::Completed | BatchStatus::CompletedWithErrors | BatchStatus::Cancelled)
}

fn ended_differently(target: &task_target::Model, run: Uuid, story: &Story) -> Option<String> {
    let Some(run) = story.runs.get(&run) else {
        return Some(format!("the run of the target {} is lost", target.target_key));
    };
    let expected = match run.status {
        RunStatus::Completed => TargetStatus::Completed,
        RunStatus::Failed => TargetStatus::Failed,
        RunStatus::Cancelled => TargetStatus::Cancelled,
        _ => TargetStatus::Running,
    };
    (target.status != expected)
        .then(|| format!("the target {} is {:?}, its run {:?}", target.target_key, target.status, run.status))
}
