//! What the engine executes: dispatch on what a run names.

use std::sync::Arc;

use async_trait::async_trait;
use entity::agents::tool;
use entity::tasks::task_run::RunReason;
use uuid::Uuid;

use super::call::Tool;
use super::end::{End, Flow};
use super::{agent, graph, tool_run};
use crate::db::Recent;
use crate::engine::policy::RunPolicy;
use crate::engine::{Attempt, Executor, Outcome, Progress};

/// Executes runs inside this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runtime;

#[async_trait]
impl Executor for Runtime {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome {
        execute(attempt).await.unwrap_or_else(|end| end.with(Progress::default()))
    }
}

async fn execute(attempt: &dyn Attempt) -> Flow<Outcome> {
    let run = attempt.run();
    match (run.agent_id, run.tool_id) {
        (Some(id), _) => {
            let plan = agent::load(attempt.core(), run, id).await?;
            Ok(agent::run(attempt, &plan).await)
        }
        (None, Some(id)) => Ok(tool_run::run(attempt, live_tool(attempt, id).await?.as_ref()).await),
        (None, None) => {
            let policy = RunPolicy::of(run);
            let nothing = "The run names no agent, no tool and no graph.";
            let graph = policy.graph.as_ref();
            let graph =
                graph.ok_or_else(|| End::failed(RunReason::NonRetryable, "nothing_to_run", nothing))?;
            Ok(graph::run(attempt, graph, &policy).await)
        }
    }
}

/// The tool of a run that a worker executes, or the end of its attempt.
pub async fn tool(attempt: &dyn Attempt, id: Uuid) -> Result<Arc<Tool>, Outcome> {
    live_tool(attempt, id).await.map_err(|end| end.with(Progress::default()))
}

/// The tools of direct runs, by tenant and id.
pub type ToolCache = Recent<(Uuid, Uuid), Tool>;

async fn live_tool(attempt: &dyn Attempt, id: Uuid) -> Flow<Arc<Tool>> {
    let core = attempt.core();
    let tenant = attempt.run().tenant_id;
    let load = async {
        let row =
            core.db.tenant(tenant).get::<tool::Entity>(id).await?.filter(|row| row.deleted_at.is_none());
        let gone = || End::failed(RunReason::NonRetryable, "tool_gone", "The tool no longer exists.");
        Ok(Tool::new(row.ok_or_else(gone)?)?)
    };
    core.tools.get(&core.db, (tenant, id), load).await
}
