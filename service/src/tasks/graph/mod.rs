//! Graphs: the steps of an AUTOMATION definition, and what is known of them before any run.
//!
//! Invariant: what compiles has no cycle, and each template names only what is known when it is rendered: the
//! run's input, and the steps that must have ended before.

mod check;
pub mod resolve;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::engine::policy::{CallApproval, RetryPolicy, Timeouts};
use crate::templates::Template;

/// Steps of one graph.
pub const MOST_STEPS: usize = 50;

/// One step of a graph: a child run of exactly one of a tool, an agent and another definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GraphStep {
    /// Unique in the graph. Templates name it: `steps.fetch.output`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z_][A-Za-z0-9_]*$")]
    pub id: String,
    /// The name or id of a tool; its arguments are the step's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub tool: Option<String>,
    /// The slug or id of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub agent: Option<String>,
    /// The name or id of another task definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub definition: Option<String>,
    /// The steps that end before this one starts. A step whose need was skipped is skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[validate(length(max = 50))]
    #[schema(max_items = 50)]
    pub needs: Vec<String>,
    /// Skips the step unless this is neither false, null, zero nor empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 4_000))]
    #[schema(max_length = 4_000)]
    pub when: Option<String>,
    /// A list, or a template of one: the step runs once for each `item`, with its `index` from 0, side by side.
    /// Its output is the list of outputs, in the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Value>,
    /// A template of the input. Without one it is the item, or the graph's own input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_error: OnStepError,
    /// Of a tool: a person approves the call before it is made, and may edit its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(nested)]
    pub approval: Option<CallApproval>,
    /// Replaces that of a definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(nested)]
    pub retry: Option<RetryPolicy>,
    /// Replaces those of a definition. No step has more time than its graph has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(nested)]
    pub timeouts: Option<Timeouts>,
}

/// What the failure of a step means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnStepError {
    /// The graph fails at once, and what still runs of it is cancelled.
    #[default]
    Fail,
    /// The graph goes on: `steps.<id>.output` is null (or the failed item's place in the list is), and
    /// `steps.<id>.error` says why.
    Continue,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a step is a run of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepTarget {
    Tool(Uuid),
    Agent(Uuid),
    Definition(Uuid),
}

/// A graph as a run carries it: a later change of the definition, or of a name, does not reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunGraph {
    pub steps: Vec<GraphStep>,
    /// In the order of the steps.
    pub targets: Vec<StepTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Steps before this one are taken from the run that this is a replay of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<String>,
}

/// A compiled graph.
#[derive(Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
    /// Every step behind those that it needs.
    pub order: Vec<usize>,
    pub output: Option<Template>,
}

#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub needs: Vec<usize>,
    /// All that end before it starts.
    pub ancestors: BTreeSet<usize>,
    pub when: Option<Template>,
    pub for_each: Option<Template>,
    pub input: Option<Template>,
    pub on_error: OnStepError,
}

impl Graph {
    pub fn index(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// The steps that no other needs.
    pub fn last(&self) -> impl Iterator<Item = (usize, &Node)> {
        let is_needed = |index: &usize| self.nodes.iter().any(|node| node.needs.contains(index));
        self.nodes.iter().enumerate().filter(move |(index, _)| !is_needed(index))
    }

    /// A step and all that come after it.
    pub fn from(&self, start: usize) -> BTreeSet<usize> {
        let after = |index: &usize| {
            *index == start || self.nodes.get(*index).is_some_and(|node| node.ancestors.contains(&start))
        };
        (0..self.nodes.len()).filter(after).collect()
    }
}
