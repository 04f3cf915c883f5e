//! What comes next in a graph: a pure function of the graph, its input, the journal and the children's states.
//!
//! Invariants: a child is started for a key at most once, and never for a step whose outcome is known; a step
//! starts when all that it needs has ended; as long as the graph has not ended, some child of it is live.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::names::{Names, holds};
use crate::engine::Wake;
use crate::tasks::children::{ChildState, MOST_CHILDREN};
use crate::tasks::graph::{Graph, Node, OnStepError};
use crate::templates::Template;

/// Why a step, or a graph, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    pub code: String,
    pub message: String,
}

impl StepError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    pub fn as_json(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }
}

/// How a step, or one of its items, ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done(Value),
    Failed(StepError),
    Skipped,
}

/// The journal's last word on a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Started,
    Ended(Outcome),
}

/// What is known when the plan is made.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub entries: HashMap<String, Entry>,
    pub children: HashMap<String, ChildState>,
    /// Children that cannot be started, by key.
    pub refused: HashMap<String, StepError>,
}

/// A child to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub node: usize,
    pub key: String,
    pub input: Value,
}

/// An outcome that the journal does not have yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub node: usize,
    pub key: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    Wait(Wake),
    Complete(Value),
    Fail { step: String, error: StepError },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub records: Vec<Record>,
    pub starts: Vec<Start>,
    pub then: Then,
}

/// The key of a step's child, or of one of its items.
pub fn key(step: &str, item: Option<usize>) -> String {
    item.map_or_else(|| step.to_owned(), |index| format!("{step}[{index}]"))
}

pub fn plan(graph: &Graph, input: &Value, known: &Known) -> Plan {
    let mut planner = Planner {
        graph,
        input,
        names: Names::new(graph, input),
        known,
        outcomes: vec![None; graph.nodes.len()],
        records: Vec::new(),
        starts: Vec::new(),
        least: None,
        may_fail: false,
    };
    for index in &graph.order {
        if let Some(node) = graph.nodes.get(*index) {
            planner.advance(*index, node);
        }
    }
    planner.finish()
}

struct Planner<'a> {
    graph: &'a Graph,
    input: &'a Value,
    names: Names<'a>,
    known: &'a Known,
    outcomes: Vec<Option<Outcome>>,
    records: Vec<Record>,
    starts: Vec<Start>,
    /// The fewest children that have to end before any step has.
    least: Option<usize>,
    /// A live child's failure would end the graph.
    may_fail: bool,
}

/// One child of a step.
enum Item {
    Live,
    Done(Value),
    Failed(StepError),
    Start(Value),
}

impl Planner<'_> {
    fn advance(&mut self, index: usize, node: &Node) {
        let outcome = match self.known.entries.get(&node.id) {
            Some(Entry::Ended(outcome)) if self.is_final(node, outcome) => Some(outcome.clone()),
            _ => match self.needs(node) {
                Needs::Open => None,
                Needs::Skipped => Some(self.record(index, &node.id, Outcome::Skipped)),
                Needs::Ended => self.run(index, node),
            },
        };
        if let Some(place) = self.outcomes.get_mut(index) {
            *place = outcome;
        }
    }

    /// A failure that ended the graph is not the last word once the graph is retried.
    fn is_final(&self, node: &Node, outcome: &Outcome) -> bool {
        !matches!(outcome, Outcome::Failed(_)) || node.on_error == OnStepError::Continue
    }

    fn needs(&self, node: &Node) -> Needs {
        let mut needs = Needs::Ended;
        for need in &node.needs {
            match self.outcomes.get(*need).and_then(Option::as_ref) {
                None => return Needs::Open,
                Some(Outcome::Failed(_)) if self.fails_graph(*need) => return Needs::Open,
                Some(Outcome::Skipped) => needs = Needs::Skipped,
                Some(Outcome::Done(_) | Outcome::Failed(_)) => {}
            }
        }
        needs
    }

    fn fails_graph(&self, index: usize) -> bool {
        self.graph.nodes.get(index).is_some_and(|node| node.on_error == OnStepError::Fail)
    }

    fn record(&mut self, node: usize, key: &str, outcome: Outcome) -> Outcome {
        let is_new = self.known.entries.get(key) != Some(&Entry::Ended(outcome.clone()));
        if is_new {
            self.records.push(Record { node, key: key.to_owned(), outcome: outcome.clone() });
        }
        outcome
    }

    /// A step whose needs have ended; `None` while it is under way.
    fn run(&mut self, index: usize, node: &Node) -> Option<Outcome> {
        let names = self.names.before(node, &self.outcomes);
        let render = |template: &Template| {
            template.render(&names).map_err(|error| StepError::new("template", error.to_string()))
        };
        match node.when.as_ref().map(render) {
            Some(Err(error)) => return Some(self.fail(index, node, error)),
            Some(Ok(value)) if !holds(&value) => {
                return Some(self.record(index, &node.id, Outcome::Skipped));
            }
            Some(Ok(_)) | None => {}
        }
        let items = match node.for_each.as_ref().map(render) {
            None => None,
            Some(Err(error)) => return Some(self.fail(index, node, error)),
            Some(Ok(Value::Array(items))) => Some(items),
            Some(Ok(_)) => {
                let error = StepError::new("for_each", "forEach gave something that is no list.");
                return Some(self.fail(index, node, error));
            }
        };
        let count = items.as_ref().map_or(1, Vec::len);
        let mut found = Vec::with_capacity(count.min(MOST_CHILDREN));
        for at in 0..count {
            let item = items.as_ref().and_then(|items| items.get(at));
            let key = key(&node.id, items.is_some().then_some(at));
            let state = self.item(node, &key, || {
                let value = item.cloned().unwrap_or_else(|| self.input.clone());
                match (&node.input, item) {
                    (None, _) => Ok(value),
                    (Some(template), None) => render(template),
                    (Some(template), Some(item)) => template
                        .render(&names.with(&json!({ "item": item, "index": at })))
                        .map_err(|error| StepError::new("template", error.to_string())),
                }
            });
            found.push((key, state));
        }
        self.settle(index, node, items.is_some(), found)
    }

    fn item(&self, node: &Node, key: &str, input: impl FnOnce() -> Result<Value, StepError>) -> Item {
        let child = self.known.children.get(key);
        match self.known.entries.get(key) {
            Some(Entry::Ended(Outcome::Done(output))) => return Item::Done(output.clone()),
            // It could not be started, which was tolerated: so it stays.
            Some(Entry::Ended(Outcome::Failed(error)))
                if child.is_none() && node.on_error == OnStepError::Continue =>
            {
                return Item::Failed(error.clone());
            }
            _ => {}
        }
        if let Some(error) = self.known.refused.get(key) {
            return Item::Failed(error.clone());
        }
        match child {
            Some(ChildState::Live) => Item::Live,
            Some(ChildState::Completed(output)) => Item::Done(output.clone()),
            Some(ChildState::Failed { code, message }) => Item::Failed(StepError::new(code, message)),
            None => input().map_or_else(Item::Failed, Item::Start),
        }
    }

    /// Records what ended of a step, starts what is missing, and joins the outputs once nothing is live.
    fn settle(
        &mut self,
        index: usize,
        node: &Node,
        is_list: bool,
        items: Vec<(String, Item)>,
    ) -> Option<Outcome> {
        let (mut outputs, mut failure, mut live) = (Vec::with_capacity(items.len()), None, 0_usize);
        for (key, item) in items {
            let output = match item {
                Item::Live => {
                    live += 1;
                    continue;
                }
                Item::Start(_) if self.known.children.len() + self.starts.len() >= MOST_CHILDREN => {
                    let message = format!("A graph starts at most {MOST_CHILDREN} child runs.");
                    failure.get_or_insert(StepError::new("too_many_children", message));
                    Value::Null
                }
                Item::Start(input) => {
                    live += 1;
                    self.starts.push(Start { node: index, key, input });
                    continue;
                }
                Item::Done(output) => {
                    self.record(index, &key, Outcome::Done(output.clone()));
                    output
                }
                Item::Failed(error) => {
                    self.record(index, &key, Outcome::Failed(error.clone()));
                    failure.get_or_insert(error);
                    Value::Null
                }
            };
            outputs.push(output);
        }
        let fails = node.on_error == OnStepError::Fail;
        match failure {
            Some(error) if fails => Some(Outcome::Failed(error)),
            _ if live > 0 => {
                self.least = Some(self.least.map_or(live, |least| least.min(live)));
                self.may_fail |= fails;
                None
            }
            Some(error) if !is_list => Some(Outcome::Failed(error)),
            _ if is_list => Some(self.record(index, &node.id, Outcome::Done(Value::Array(outputs)))),
            _ => Some(Outcome::Done(outputs.pop().unwrap_or_default())),
        }
    }

    /// The step itself fails, before any of its children starts.
    fn fail(&mut self, index: usize, node: &Node, error: StepError) -> Outcome {
        self.record(index, &node.id, Outcome::Failed(error))
    }

    fn finish(self) -> Plan {
        let failed = self.outcomes.iter().enumerate().find_map(|(index, outcome)| match outcome {
            Some(Outcome::Failed(error)) if self.fails_graph(index) => Some((index, error.clone())),
            _ => None,
        });
        let then = match (failed, self.least) {
            (Some((index, error)), _) => {
                let step = self.graph.nodes.get(index).map(|node| node.id.clone()).unwrap_or_default();
                return Plan { records: self.records, starts: Vec::new(), then: Then::Fail { step, error } };
            }
            (None, Some(least)) => Then::Wait(self.wake(least)),
            (None, None) => self.output(),
        };
        Plan { records: self.records, starts: self.starts, then }
    }

    /// No step can end before `least` more children have, unless one of them fails the graph.
    fn wake(&self, least: usize) -> Wake {
        let states = || self.known.children.values();
        let ended = states().filter(|state| **state != ChildState::Live).count();
        let failed = states().filter(|state| matches!(state, ChildState::Failed { .. })).count();
        let number = |count: usize| i32::try_from(count).ok();
        Wake { ended: number(ended + least), failed: self.may_fail.then(|| number(failed + 1)).flatten() }
    }

    fn output(&self) -> Then {
        let Some(template) = &self.graph.output else {
            let last = self.graph.last().map(|(index, node)| (node.id.clone(), self.output_of(index)));
            return Then::Complete(Value::Object(last.collect()));
        };
        match template.render(&self.names.after(&self.outcomes)) {
            Ok(output) => Then::Complete(output),
            Err(error) => {
                Then::Fail { step: "output".to_owned(), error: StepError::new("template", error.to_string()) }
            }
        }
    }

    fn output_of(&self, index: usize) -> Value {
        match self.outcomes.get(index) {
            Some(Some(Outcome::Done(output))) => output.clone(),
            _ => Value::Null,
        }
    }
}

enum Needs {
    Open,
    Skipped,
    Ended,
}
