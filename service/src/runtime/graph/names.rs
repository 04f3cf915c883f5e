//! What the names in a graph's templates stand for: the run's input, and the steps that ended before. Nothing of
//! another run can be named, because nothing else is there.
//!
//! Each value is made readable for templates once a plan, however many templates read it.

use std::cell::OnceCell;

use serde_json::{Value, json};

use super::plan::Outcome;
use crate::tasks::graph::{Graph, Node};
use crate::templates::Context;

pub struct Names<'a> {
    graph: &'a Graph,
    input: &'a Value,
    input_as_read: OnceCell<Context>,
    steps: Vec<OnceCell<Context>>,
}

impl<'a> Names<'a> {
    pub fn new(graph: &'a Graph, input: &'a Value) -> Self {
        let steps = graph.nodes.iter().map(|_| OnceCell::new()).collect();
        Self { graph, input, input_as_read: OnceCell::new(), steps }
    }

    /// For the templates of one step.
    pub fn before(&self, node: &Node, outcomes: &[Option<Outcome>]) -> Context {
        self.context(outcomes, |index| node.ancestors.contains(&index))
    }

    /// For the graph's output.
    pub fn after(&self, outcomes: &[Option<Outcome>]) -> Context {
        self.context(outcomes, |_| true)
    }

    fn context(&self, outcomes: &[Option<Outcome>], is_known: impl Fn(usize) -> bool) -> Context {
        let input = self.input_as_read.get_or_init(|| Context::from(self.input)).clone();
        let ended = self.graph.nodes.iter().zip(&self.steps).zip(outcomes).enumerate();
        let steps = ended.filter(|(index, _)| is_known(*index)).filter_map(|(_, ((node, cell), outcome))| {
            let outcome = outcome.as_ref()?;
            Some((node.id.as_str(), cell.get_or_init(|| Context::from(&step(outcome))).clone()))
        });
        Context::object([("input", input), ("steps", Context::object(steps))])
    }
}

fn step(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Done(output) => json!({ "output": output, "error": null, "status": "COMPLETED" }),
        Outcome::Failed(error) => json!({ "output": null, "error": error.as_json(), "status": "FAILED" }),
        Outcome::Skipped => json!({ "output": null, "error": null, "status": "SKIPPED" }),
    }
}

/// Whether a condition holds: anything but false, null, zero and what is empty.
pub fn holds(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}
