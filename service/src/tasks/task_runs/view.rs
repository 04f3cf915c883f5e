//! A run as callers see it.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::agents::RunLimits;
use crate::crud::metadata::{self, Metadata};
use crate::engine::policy::RunPolicy;
use crate::engine::transitions;
use crate::tasks::run_keys;
use crate::tasks::run_waits::WaitingForView;

/// One execution of an agent or a tool.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRunView {
    pub id: Uuid,
    /// Of what it is for, at its creation.
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    #[schema(required)]
    pub definition_id: Option<Uuid>,
    #[schema(required)]
    pub agent_id: Option<Uuid>,
    /// The version of the agent that this run uses.
    #[schema(required)]
    pub agent_version: Option<i32>,
    #[schema(required)]
    pub tool_id: Option<Uuid>,
    /// What a worker must offer to execute it: `function:<name>` or `agent:<slug>`; null where the engine does.
    #[schema(required)]
    pub capability: Option<String>,
    /// The worker that executes it now.
    #[schema(required)]
    pub worker_id: Option<Uuid>,
    pub status: RunStatus,
    /// Why the status is what it is.
    pub reason: RunReason,
    /// What is open of what a WAITING run waits for; filled in where runs are read and listed.
    #[serde(default)]
    pub waiting_for: Vec<WaitingForView>,
    pub input: Value,
    #[schema(required)]
    pub output: Option<Value>,
    #[schema(required)]
    pub error: Option<RunErrorView>,
    /// What its creator allowed it, within what its agent allows.
    #[schema(required)]
    pub limits: Option<RunLimits>,
    pub priority: i32,
    /// Not started before this time.
    pub available_at: DateTime<Utc>,
    /// How often it was started.
    pub attempt: i32,
    /// Executors that vanished one after the other while they executed it, without a new step.
    pub lost_count: i32,
    /// It failed because too many executors vanished under it: only a retry starts it again.
    pub quarantined: bool,
    pub tokens_used: TokensView,
    /// What its own steps cost, in `currency`.
    pub cost: Nanos,
    /// Its own cost and that of its child runs.
    pub tree_cost: Nanos,
    /// ISO 4217.
    pub currency: String,
    /// A model without a known price was used: `cost` is not the whole cost.
    pub unpriced: bool,
    /// The model was a `mock/*` model.
    pub mock: bool,
    #[schema(required)]
    pub parent_run_id: Option<Uuid>,
    #[schema(required)]
    pub root_run_id: Option<Uuid>,
    /// How far below the root of its tree: 0 for a run without a parent.
    pub depth: i32,
    /// What it is to its parent: the step of a graph, `step[2]` for one of its items, or the call of an agent.
    #[schema(required)]
    pub child_key: Option<String>,
    /// How many child runs it has started.
    pub children: i32,
    #[schema(required)]
    pub replay_of: Option<Uuid>,
    #[schema(required)]
    pub dedupe_key: Option<String>,
    /// The key whose slots it shares, made of its input as its definition says.
    #[schema(required)]
    pub concurrency_key: Option<String>,
    /// `user:<id>`, `api-key:<id>` or `system`.
    pub created_by: String,
    pub metadata: Metadata,
    /// Time in the queue, over all attempts.
    pub queue_ms: i64,
    /// Time spent waiting for people or other runs.
    pub waiting_ms: i64,
    /// From the first start to the end, without waiting.
    #[schema(required)]
    pub duration_ms: Option<i64>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
}

/// Tokens by kind; no token is counted twice.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensView {
    /// Input that no cache held.
    pub input: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    /// Output without reasoning.
    pub output: i64,
    pub reasoning: i64,
    pub total: i64,
}

/// Why the last attempt failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunErrorView {
    /// Stable, snake_case.
    pub code: String,
    pub message: String,
}

crate::crud::page!(TaskRunPage, TaskRunView);

impl TokensView {
    pub fn new(input: i64, cache_read: i64, cache_write: i64, output: i64, reasoning: i64) -> Self {
        let total =
            [input, cache_read, cache_write, output, reasoning].into_iter().fold(0, i64::saturating_add);
        Self { input, cache_read, cache_write, output, reasoning, total }
    }
}

impl From<Model> for TaskRunView {
    fn from(run: Model) -> Self {
        let RunPolicy { limits, mock, .. } = RunPolicy::of(&run);
        let quarantined = transitions::is_quarantined(&run);
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            definition_id,
            agent_id,
            agent_version,
            tool_id,
            lane_id: _,
            capability,
            status,
            reason,
            input,
            output,
            error,
            policy: _,
            priority,
            order_key: _,
            available_at,
            queue_expires_at: _,
            held_at: _,
            deadline_at: _,
            attempt,
            failures: _,
            lost_count,
            fence: _,
            lease_owner,
            lease_expires_at: _,
            attempt_deadline_at: _,
            cancel_requested_at: _,
            cancel_reason: _,
            wait_until: _,
            event_seq: _,
            client_seq: _,
            step_count: _,
            tokens_input,
            tokens_cache_read,
            tokens_cache_write,
            tokens_output,
            tokens_reasoning,
            cost_nanos,
            child_cost_nanos,
            unpriced,
            parent_run_id,
            root_run_id,
            depth,
            child_key,
            settled: _,
            settled_nanos: _,
            children,
            children_ended: _,
            wake_ended: _,
            wake_failed: _,
            replay_of,
            dedupe_key,
            concurrency_key,
            created_by,
            metadata,
            created_at,
            updated_at,
            queued_at: _,
            started_at,
            completed_at,
            waiting_since: _,
            queue_ms,
            waiting_ms,
        } = run;
        let span = started_at.zip(completed_at).map(|(start, end)| (end - start).num_milliseconds());
        Self {
            id,
            workspace_id,
            definition_id,
            agent_id,
            agent_version,
            tool_id,
            worker_id: lease_owner.filter(|_| capability.is_some()),
            capability,
            status,
            reason,
            waiting_for: Vec::new(),
            input,
            output,
            error: error.and_then(|error| serde_json::from_value(error).ok()),
            limits,
            priority,
            available_at,
            attempt,
            lost_count,
            quarantined,
            tokens_used: TokensView::new(
                tokens_input,
                tokens_cache_read,
                tokens_cache_write,
                tokens_output,
                tokens_reasoning,
            ),
            cost: cost_nanos,
            tree_cost: cost_nanos + child_cost_nanos,
            currency: "USD".to_owned(),
            unpriced,
            mock,
            parent_run_id,
            root_run_id,
            depth,
            child_key,
            children,
            replay_of,
            dedupe_key: dedupe_key.map(|key| run_keys::shown(key, definition_id)),
            concurrency_key: Some(concurrency_key)
                .filter(|key| !key.is_empty())
                .map(|key| run_keys::shown(key, definition_id)),
            created_by,
            metadata: metadata::shown(metadata),
            queue_ms,
            waiting_ms,
            duration_ms: span.map(|span| (span - waiting_ms).max(0)),
            created_at,
            updated_at,
            started_at,
            completed_at,
        }
    }
}
