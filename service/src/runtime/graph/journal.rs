//! The journal of a graph: a step for each child, one for each list of children, and one for what was skipped.
//! The last entry of a key counts: a child that is retried with its graph gets another one.

use std::collections::HashMap;
use std::time::Duration;

use entity::money::Nanos;
use entity::tasks::run_step::{self, StepKind, StepStatus};
use entity::tasks::task_run;
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::{Entry, Outcome, Record, StepError};
use crate::engine::{Event, Progress, Step};
use crate::runtime::call;
use crate::runtime::models::Usage;
use crate::tasks::graph::{Node, OnStepError, RunGraph, StepTarget};

pub struct Journal<'a> {
    graph: &'a RunGraph,
    last: i32,
    entries: HashMap<String, (i32, Entry)>,
    new: Progress,
}

impl<'a> Journal<'a> {
    pub fn of(graph: &'a RunGraph, steps: Vec<run_step::Model>) -> Self {
        let mut journal = Self { graph, last: 0, entries: HashMap::new(), new: Progress::default() };
        for step in steps {
            journal.last = journal.last.max(step.number);
            if let Some(key) = step.call_id.clone() {
                journal.entries.insert(key, (step.number, entry(&step)));
            }
        }
        journal
    }

    pub fn is_empty(&self) -> bool {
        self.last == 0
    }

    pub fn entries(&self) -> HashMap<String, Entry> {
        self.entries.iter().map(|(key, (_, entry))| (key.clone(), entry.clone())).collect()
    }

    /// What is to be written.
    pub fn into_new(self) -> Progress {
        self.new
    }

    /// A child that starts now.
    pub fn start(&mut self, run: &task_run::Model) {
        let key = run.child_key.clone().unwrap_or_default();
        let id = key.split('[').next().unwrap_or_default();
        let Some(node) = self.graph.steps.iter().position(|step| step.id == id) else { return };
        let number = self.next();
        let step = self.step(number, node, &key, StepStatus::Started);
        let request = json!({ "runId": run.id });
        self.tell("step.started", &step, Some(run.id), None);
        self.push(Step { request, ..step }, Entry::Started);
    }

    /// An outcome, under the number of its start if that is open.
    pub fn end(&mut self, record: &Record, child: Option<&task_run::Model>) {
        let open = match self.entries.get(&record.key) {
            Some((number, Entry::Started)) => Some(*number),
            _ => None,
        };
        let number = open.unwrap_or_else(|| self.next());
        let (kind, status, response) = match &record.outcome {
            Outcome::Done(output) => {
                ("step.completed", StepStatus::Completed, Some(json!({ "output": output })))
            }
            Outcome::Failed(error) => {
                ("step.failed", StepStatus::Failed, Some(call::error(&error.code, &error.message)))
            }
            Outcome::Skipped => ("step.skipped", StepStatus::Skipped, None),
        };
        let step = self.step(number, record.node, &record.key, status);
        let took = child.and_then(|run| (run.completed_at? - run.created_at).to_std().ok());
        let request = child.map_or_else(|| json!({}), |run| json!({ "runId": run.id }));
        let error = response.as_ref().and_then(|response| response.get("error")).map(call::preview);
        self.tell(kind, &step, child.map(|run| run.id), error);
        let step = Step { request, response, latency: took.unwrap_or_default(), ..step };
        self.push(step, Entry::Ended(record.outcome.clone()));
    }

    /// What the run that this is a replay of had of a step, when it is the last word.
    pub fn copy(&mut self, index: usize, node: &Node, step: &run_step::Model, of: Uuid) {
        let Entry::Ended(outcome) = entry(step) else { return };
        if matches!(outcome, Outcome::Failed(_)) && node.on_error == OnStepError::Fail {
            return;
        }
        let number = self.next();
        let copied = self.step(number, index, &node.id, step.status);
        self.tell("step.copied", &copied, None, None);
        let (request, response) = (json!({ "copiedFrom": of }), step.response.clone());
        self.push(Step { request, response, ..copied }, Entry::Ended(outcome));
    }

    fn next(&mut self) -> i32 {
        self.last = self.last.saturating_add(1);
        self.last
    }

    fn push(&mut self, step: Step, entry: Entry) {
        if let Some(key) = step.call_id.clone() {
            self.entries.insert(key, (step.number, entry));
        }
        self.new.steps.push(step);
    }

    fn tell(&mut self, kind: &'static str, step: &Step, run: Option<Uuid>, error: Option<Value>) {
        let mut data =
            json!({ "step": step.number, "kind": step.kind, "name": step.name, "key": step.call_id });
        let more = [("runId", run.map(|run| json!(run))), ("error", error)];
        if let Some(members) = data.as_object_mut() {
            members.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        self.new.events.push(Event { kind, data });
    }

    fn step(&self, number: i32, node: usize, key: &str, status: StepStatus) -> Step {
        let target = self.graph.targets.get(node);
        let (kind, tool_id) = match target {
            Some(StepTarget::Tool(id)) => (StepKind::Tool, Some(*id)),
            _ => (StepKind::Agent, None),
        };
        Step {
            number,
            kind,
            status,
            turn: 1,
            name: self.graph.steps.get(node).map(|step| step.id.clone()).unwrap_or_default(),
            tool_id,
            call_id: Some(key.to_owned()),
            effect_key: None,
            request: json!({}),
            response: None,
            stop_reason: None,
            usage: Usage::default(),
            // The child pays for itself, and its cost is the tree's.
            cost: Nanos::ZERO,
            unpriced: false,
            latency: Duration::ZERO,
        }
    }
}

fn entry(step: &run_step::Model) -> Entry {
    let said = |pointer: &str| {
        let text = step.response.as_ref().and_then(|response| response.pointer(pointer)?.as_str());
        text.unwrap_or_default().to_owned()
    };
    match step.status {
        StepStatus::Started => Entry::Started,
        StepStatus::Completed => {
            let output = step.response.as_ref().and_then(|response| response.get("output"));
            Entry::Ended(Outcome::Done(output.cloned().unwrap_or_default()))
        }
        StepStatus::Failed => {
            let error = StepError { code: said("/error/code"), message: said("/error/message") };
            Entry::Ended(Outcome::Failed(error))
        }
        StepStatus::Skipped => Entry::Ended(Outcome::Skipped),
    }
}
