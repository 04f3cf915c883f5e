//! A run with everything below it.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::{DbErr, QueryResult};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::load;
use crate::ctx::Ctx;
use crate::error::Result;

/// Runs of one answer: more than a tree has, but for what siblings started at the same moment.
pub(super) const MOST: usize = 1_200;

/// A run as a part of its tree; `GET /v1/task-runs/{id}` tells the rest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRunNode {
    pub id: Uuid,
    #[schema(required)]
    pub parent_run_id: Option<Uuid>,
    #[schema(required)]
    pub child_key: Option<String>,
    pub depth: i32,
    #[schema(required)]
    pub definition_id: Option<Uuid>,
    #[schema(required)]
    pub agent_id: Option<Uuid>,
    #[schema(required)]
    pub tool_id: Option<Uuid>,
    pub status: RunStatus,
    pub reason: RunReason,
    pub cost: Nanos,
    pub tree_cost: Nanos,
    pub created_at: DateTime<Utc>,
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
}

/// The run, then its children in the order in which they were started, each followed by its own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRunTree {
    pub data: Vec<TaskRunNode>,
}

const COLUMNS: &str = "id, workspace_id, parent_run_id, child_key, depth, definition_id, agent_id, tool_id, status, \
     reason, cost_nanos, child_cost_nanos, created_at, started_at, completed_at";

/// The run and all below it that the caller sees.
pub async fn tree(ctx: &Ctx, id: Uuid) -> Result<TaskRunTree> {
    let top = load(ctx, id).await?;
    let root = top.root_run_id.unwrap_or(id);
    let sql = format!(
        "SELECT {COLUMNS} FROM task_run WHERE tenant_id = $1 AND (id = $2 OR root_run_id = $2) \
         ORDER BY id LIMIT {MOST}"
    );
    let mut rows = Vec::new();
    for row in ctx.db().query(&sql, vec![root.into()]).await? {
        let node = node(&row)?;
        let workspace: Option<Uuid> = row.try_get("", "workspace_id")?;
        if ctx.view.sees(workspace) && ctx.rights.reach.holds_agent(node.agent_id) {
            rows.push(node);
        }
    }
    let mut data = Vec::with_capacity(rows.len());
    below(&rows, id, &mut data);
    Ok(TaskRunTree { data })
}

/// Depth first. A tree is as deep as runs may be: the stack is not in question.
fn below(rows: &[TaskRunNode], id: Uuid, data: &mut Vec<TaskRunNode>) {
    data.extend(rows.iter().find(|row| row.id == id).cloned());
    for child in rows.iter().filter(|row| row.parent_run_id == Some(id)) {
        below(rows, child.id, data);
    }
}

fn node(row: &QueryResult) -> Result<TaskRunNode, DbErr> {
    let cost: Nanos = row.try_get("", "cost_nanos")?;
    let children: Nanos = row.try_get("", "child_cost_nanos")?;
    Ok(TaskRunNode {
        id: row.try_get("", "id")?,
        parent_run_id: row.try_get("", "parent_run_id")?,
        child_key: row.try_get("", "child_key")?,
        depth: row.try_get("", "depth")?,
        definition_id: row.try_get("", "definition_id")?,
        agent_id: row.try_get("", "agent_id")?,
        tool_id: row.try_get("", "tool_id")?,
        status: row.try_get("", "status")?,
        reason: row.try_get("", "reason")?,
        cost,
        tree_cost: cost + children,
        created_at: row.try_get("", "created_at")?,
        started_at: row.try_get("", "started_at")?,
        completed_at: row.try_get("", "completed_at")?,
    })
}
