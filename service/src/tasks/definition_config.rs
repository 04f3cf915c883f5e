//! How a task's runs are checked, retried, timed and ordered.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use super::graph::{Graph, GraphStep};
use crate::engine::policy::{CallApproval, OnWorkerLost, RetryPolicy, RunPolicy, Timeouts};
use crate::error::Result;
use crate::schema::Schema;
use crate::tasks::run_keys::{Concurrency, Dedupe};
use crate::templates::Template;

/// Stored in `task_definition.config`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DefinitionConfig {
    /// JSON Schema that a run's input has to fit.
    #[schema(value_type = Option<Object>)]
    pub input_schema: Option<Value>,
    /// JSON Schema that a run's output has to fit.
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Value>,
    #[validate(nested)]
    pub retry: RetryPolicy,
    #[validate(nested)]
    pub timeouts: Timeouts,
    /// Higher runs first.
    #[validate(range(min = -100, max = 100))]
    #[schema(minimum = -100, maximum = 100)]
    pub priority: i32,
    pub on_worker_lost: OnWorkerLost,
    /// How many runs with the same key execute at once.
    #[validate(nested)]
    pub concurrency: Option<Concurrency>,
    /// Which runs are one: a second one with the same key is answered with the first.
    #[validate(nested)]
    pub dedupe: Option<Dedupe>,
    /// A template of the tool's arguments over the run's `input`: `{"city": "{{ input.city }}"}`.
    /// Without one the input is the arguments.
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<Value>,
    /// Of a tool: a person approves each call before it is made, and may edit its arguments.
    #[validate(nested)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<CallApproval>,
    /// A graph: the definition then names neither an agent nor a tool, and a run of it is the parent of a run
    /// for each step. Steps start as soon as what they need has ended.
    #[validate(length(max = 50), nested)]
    #[schema(max_items = 50)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<GraphStep>,
    /// Of a graph: a template of its output over `input` and `steps`. Without one it is an object of the outputs
    /// of the last steps, by their ids.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

impl DefinitionConfig {
    /// Compiles the schemas and the template.
    ///
    /// # Errors
    /// [`crate::error::Error::Invalid`] under `pointer`.
    pub fn check(&self, pointer: &str) -> Result<()> {
        if let Some(schema) = &self.input_schema {
            Schema::compile(schema, &format!("{pointer}/inputSchema"))?;
        }
        if let Some(schema) = &self.output_schema {
            Schema::compile(schema, &format!("{pointer}/outputSchema"))?;
        }
        if let Some(arguments) = &self.arguments {
            Template::check(arguments, &format!("{pointer}/arguments"))?;
        }
        if let Some(concurrency) = &self.concurrency {
            concurrency.check(&format!("{pointer}/concurrency"))?;
        }
        if let Some(dedupe) = &self.dedupe {
            dedupe.check(&format!("{pointer}/dedupe"))?;
        }
        if !self.steps.is_empty() {
            Graph::compile(&self.steps, self.output.as_ref(), pointer)?;
        }
        Ok(())
    }

    /// What a run of this definition carries with it.
    pub fn run_policy(&self) -> RunPolicy {
        RunPolicy {
            retry: self.retry.clone(),
            timeouts: self.timeouts,
            on_worker_lost: self.on_worker_lost,
            output_schema: self.output_schema.clone(),
            arguments: self.arguments.clone(),
            approval: self.approval,
            ..RunPolicy::default()
        }
    }
}
