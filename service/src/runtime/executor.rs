//! What the engine executes: dispatch on what a run names.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entity::agents::tool;
use entity::tasks::task_run::RunReason;
use moka::future::Cache;
use uuid::Uuid;

use super::call::Tool;
use super::end::{End, Flow};
use super::{agent, tool_run};
use crate::engine::{Attempt, Executor, Outcome, Progress};

const FRESH: Duration = Duration::from_secs(1);
const MOST_CACHED: u64 = 1_000;

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
        (None, Some(id)) => Ok(tool_run::run(attempt, tool(attempt, id).await?.as_ref()).await),
        (None, None) => {
            Err(End::failed(RunReason::NonRetryable, "nothing_to_run", "The run names no agent and no tool."))
        }
    }
}

/// The tools of direct runs, for a second and until this node's next write.
pub struct ToolCache(Cache<(Uuid, Uuid), (u64, Arc<Tool>)>);

impl Default for ToolCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_CACHED).time_to_live(FRESH).build())
    }
}

async fn tool(attempt: &dyn Attempt, id: Uuid) -> Flow<Arc<Tool>> {
    let core = attempt.core();
    let tenant = attempt.run().tenant_id;
    let writes = core.db.writes();
    if let Some((then, tool)) = core.tools.0.get(&(tenant, id)).await
        && then == writes
    {
        return Ok(tool);
    }
    let row = core.db.tenant(tenant).get::<tool::Entity>(id).await?.filter(|row| row.deleted_at.is_none());
    let gone = || End::failed(RunReason::NonRetryable, "tool_gone", "The tool no longer exists.");
    let tool = Arc::new(Tool::new(row.ok_or_else(gone)?)?);
    core.tools.0.insert((tenant, id), (writes, tool.clone())).await;
    Ok(tool)
}
