//! A tree ends as a whole: no child outlives a completed parent, and a graph that is completed has done each step once.

use std::collections::HashMap;

use entity::tasks::task_run::{Model, RunStatus};
use uuid::Uuid;

use super::Story;

/// Steps of the graph: one, three of a list, one.
const STEPS: usize = 5;

pub fn check(story: &Story, graph: Uuid) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut children: HashMap<Uuid, Vec<&Model>> = HashMap::new();
    for run in story.runs.values() {
        let Some(parent) = run.parent_run_id else { continue };
        children.entry(parent).or_default().push(run);
        match story.runs.get(&parent) {
            None => wrong.push(format!("the parent of {} is lost", run.id)),
            Some(parent)
                if parent.status == RunStatus::Completed && parent.completed_at < run.completed_at =>
            {
                wrong.push(format!("{} outlived its parent {}; {}", run.id, parent.id, story.told(parent.id)))
            }
            Some(_) => {}
        }
    }
    let graphs = story.runs.values().filter(|run| run.definition_id == Some(graph));
    for run in graphs.filter(|run| story.count(run.id, "run.retried") == 0) {
        let of_run = children.get(&run.id).map_or(&[][..], Vec::as_slice);
        let mut keys: Vec<_> = of_run.iter().filter_map(|child| child.child_key.as_deref()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            wrong.push(format!("{} has two children of one step: {keys:?}", run.id));
        }
        let done = of_run.iter().filter(|child| child.status == RunStatus::Completed).count();
        if run.status == RunStatus::Completed && (done, keys.len()) != (STEPS, STEPS) {
            wrong.push(format!("{} is completed with {done} of {STEPS} steps: {keys:?}", run.id));
        }
        if i64::from(run.children) != i64::try_from(of_run.len()).unwrap() {
            wrong.push(format!("{} counts {} children of {}", run.id, run.children, of_run.len()));
        }
    }
    wrong
}
