//! What a queued run is shown to wait for, beyond what was stored when it last changed: it is told of the moment, so it
//! is never late.

use std::collections::HashSet;

use entity::agents::agent::{AgentStatus, Column, Entity};
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::ColumnTrait as _;
use uuid::Uuid;

use super::TaskRunView;
use crate::ctx::Ctx;
use crate::error::Result;
use crate::tasks::workers;

/// NO_WORKER of one that no live worker could take, AGENT_PAUSED of one whose agent starts nothing.
pub async fn reasons(ctx: &Ctx, runs: &mut [TaskRunView]) -> Result<()> {
    workers::shown_reasons(ctx, runs).await?;
    let queued = |run: &&mut TaskRunView| run.status == RunStatus::Pending && run.reason == RunReason::Queued;
    let agents: HashSet<Uuid> = runs.iter_mut().filter(queued).filter_map(|run| run.agent_id).collect();
    if agents.is_empty() {
        return Ok(());
    }
    let db = ctx.core.db.tenant(ctx.tenant);
    let most = u64::try_from(agents.len()).unwrap_or(u64::MAX);
    let paused = db
        .everywhere::<Entity>()
        .filter(Column::Id.is_in(agents))
        .filter(Column::Status.ne(AgentStatus::Active))
        .limit(most);
    let paused: HashSet<Uuid> = paused.all().await?.into_iter().map(|agent| agent.id).collect();
    for run in runs.iter_mut().filter(queued) {
        if run.agent_id.is_some_and(|agent| paused.contains(&agent)) {
            run.reason = RunReason::AgentPaused;
        }
    }
    Ok(())
}
