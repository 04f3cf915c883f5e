//! What the other side counted: finished work is not done again, a key is one effect, ONCE is once.
//!
//! A stopped process that wakes cannot know at once that its lease is gone: one call that it was about to make may
//! reach the other side, which is why calls carry keys. So each lost lease excuses one call.

use std::collections::{BTreeMap, HashMap, HashSet};

use entity::tasks::approval::{ApprovalKind, ApprovalStatus};
use entity::tasks::task_run::RunStatus;
use uuid::Uuid;

use super::Story;
use crate::chaos::Stage;
use crate::chaos::stand_in::{Ask, calls, turns};

pub fn check(stage: &Stage, story: &Story) -> Vec<String> {
    let asks = stage.stand_in.asks();
    let runs: HashMap<&str, Uuid> =
        story.runs.values().filter_map(|run| Some((run.input.as_str()?, run.id))).collect();
    let mut wrong = asked_again(&asks, &runs, stage, story);
    wrong.extend(asked_differently(&asks));
    wrong.extend(effects(stage, story));
    wrong.extend(missing(stage, story));
    wrong
}

/// Model turns that were asked for although their answer was journaled.
fn asked_again(asks: &[Ask], runs: &HashMap<&str, Uuid>, stage: &Stage, story: &Story) -> Vec<String> {
    let mut again: BTreeMap<Uuid, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for ask in asks {
        let Some(run) = runs.get(ask.said.as_str()) else {
            wrong.push(format!("the model was asked about {:?}, which is no run", ask.said));
            continue;
        };
        // A cancelled turn is journaled and asked again by a retry: it has no number that could be compared.
        if story.count(*run, "run.retried") > 0 {
            continue;
        }
        let turn = i32::try_from(ask.turn).unwrap() + 1;
        if stage.watch.turn_known(*run, turn).is_some_and(|known| ask.at > known) {
            *again.entry(*run).or_default() += 1;
        }
    }
    let excess = again.into_iter().filter(|(run, count)| *count > story.count(*run, "run.lease_lost"));
    wrong.extend(excess.map(|(run, count)| {
        format!("{run}: {count} journaled turns were asked for again; {}", story.told(run))
    }));
    wrong
}

/// A resumed run asks as an undisturbed one.
fn asked_differently(asks: &[Ask]) -> Vec<String> {
    let mut first: HashMap<_, &Ask> = HashMap::new();
    let mut wrong = Vec::new();
    for ask in asks {
        let known = first.entry((&ask.said, ask.turn)).or_insert(ask);
        if known.messages != ask.messages {
            wrong.push(format!(
                "{} was asked in two ways: {:?}, {:?}",
                ask.said, known.messages, ask.messages
            ));
        }
    }
    wrong
}

fn effects(stage: &Stage, story: &Story) -> Vec<String> {
    let mut keys: HashMap<(String, String), HashSet<String>> = HashMap::new();
    let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
    for effect in stage.stand_in.server.effects() {
        let case = effect.body["case"].as_str().unwrap_or_default().to_owned();
        keys.entry((effect.path.clone(), case)).or_default().insert(effect.key.clone());
        *made.entry((effect.path, effect.key)).or_default() += 1;
    }
    let several = keys.iter().filter(|(_, keys)| keys.len() > 1);
    let mut wrong: Vec<_> = several.map(|(call, keys)| format!("{call:?} had the keys {keys:?}")).collect();
    for ((path, key), count) in made {
        let run: Option<Uuid> = key.split(':').next().and_then(|id| id.parse().ok());
        let Some(run) = run.filter(|run| story.runs.contains_key(run)) else {
            wrong.push(format!("{path} was called with the key {key:?} of no run"));
            continue;
        };
        let reviews = reviews(story, run);
        if path == "send" && count > 1 + reviews {
            wrong.push(format!("{key} was sent {count} times after {reviews} reviews; {}", story.told(run)));
        }
    }
    wrong
}

/// How often a person said that a run's call is made again.
fn reviews(story: &Story, run: Uuid) -> usize {
    let mine = story.approvals.iter().filter(|approval| approval.run_id == run);
    mine.filter(|a| a.kind == ApprovalKind::Review && a.status == ApprovalStatus::Approved).count()
}

/// A completed run has done everything that its script asks for.
fn missing(stage: &Stage, story: &Story) -> Vec<String> {
    let made: HashSet<(String, String)> = stage
        .stand_in
        .server
        .effects()
        .into_iter()
        .map(|effect| (effect.path, effect.body["case"].as_str().unwrap_or_default().to_owned()))
        .collect();
    let mut wrong = Vec::new();
    for run in story.runs.values().filter(|run| run.status == RunStatus::Completed) {
        let Some(said) = run.input.as_str() else { continue };
        let called = (0..turns(said)).flat_map(|turn| calls(said, turn)).filter(|name| *name != "echo");
        for name in called {
            if !made.contains(&(name.to_owned(), said.to_owned())) {
                wrong.push(format!("{} is completed without its {name}; {}", run.id, story.told(run.id)));
            }
        }
    }
    wrong
}
