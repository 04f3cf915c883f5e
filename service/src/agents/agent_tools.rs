//! Which tools an agent has, and how it may use them. Each change is a change of behaviour: it makes
//! a new version of the agent in the same transaction, and is told of the agent.

use chrono::{DateTime, Utc};
use entity::agents::agent;
use entity::agents::agent_tool::{ActiveModel, Column, Entity, Model};
use entity::agents::tool::ToolType;
use sea_orm::{ColumnTrait as _, Condition, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::agent_versions::{bindings, bound_tools, live_agent, release, tool_names};
use super::agents::{Agents, contended};
use super::tools::Tools;
use super::{AgentSnapshot, AgentToolConfig, agent_calls};
use crate::crud::{self, Expected, document};
use crate::ctx::Ctx;
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::runtime::tools::AgentCallConfig;

/// Tools of one agent: more would not fit into a model's context.
const MOST: usize = 128;

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutAgentTool {
    #[serde(default)]
    #[validate(nested)]
    pub config: AgentToolConfig,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentToolView {
    pub agent_id: Uuid,
    pub tool_id: Uuid,
    /// The tool's name.
    pub name: String,
    pub config: AgentToolConfig,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// All of an agent's tools, in the order in which they were bound; there are at most 128.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentTools {
    pub data: Vec<AgentToolView>,
}

/// A binding, and the revision of its agent.
pub struct Bound {
    pub view: AgentToolView,
    pub agent_revision: i64,
}

fn view(row: Model, name: String) -> AgentToolView {
    let Model { tenant_id: _, id: _, agent_id, tool_id, config, created_at, updated_at } = row;
    AgentToolView { agent_id, tool_id, name, config: document::read(config), created_at, updated_at }
}

pub async fn list(ctx: &Ctx, agent: Uuid) -> Result<AgentTools> {
    crud::load::<Agents>(ctx, agent).await?;
    let db = ctx.db();
    let rows = bindings(&db, agent).await?;
    let mut names = tool_names(&db, rows.iter().map(|row| row.tool_id)).await?;
    let views = rows.into_iter().filter_map(|row| {
        let name = names.remove(&row.tool_id)?;
        Some(view(row, name))
    });
    Ok(AgentTools { data: views.collect() })
}

/// Binds the tool, or replaces the policy of its use. The same again changes nothing. `expected` is the
/// agent's revision.
pub async fn put(
    ctx: &Ctx,
    agent: Uuid,
    tool: Uuid,
    expected: Expected,
    body: PutAgentTool,
) -> Result<Bound> {
    let PutAgentTool { config } = body;
    crud::load::<Agents>(ctx, agent).await?;
    let used = crud::load::<Tools>(ctx, tool).await?;
    let name = used.name.clone();
    config.check("/config")?;
    let stored = document::stored(&config)?;
    let now = ctx.core.clock.now();

    let tx = ctx.db().begin().await?;
    let row = live_agent(&tx, agent).await?;
    expected.check(row.revision)?;
    if used.workspace_id.is_some() && used.workspace_id != row.workspace_id {
        return Err(Error::conflict(
            "other_workspace",
            "The tool belongs to another workspace than the agent.",
        ));
    }
    if used.kind == ToolType::Agent {
        agent_calls::check(&tx, agent, AgentCallConfig::parse(&used.config)?.agent_id).await?;
    }
    let bound = bindings(&tx, agent).await?;
    let same = bound.iter().find(|bound| bound.tool_id == tool);
    let binding = match same {
        Some(same) if document::read::<AgentToolConfig>(same.config.clone()) == config => {
            return Ok(Bound { view: view(same.clone(), name), agent_revision: row.revision });
        }
        Some(same) => {
            let changes = ActiveModel { config: Set(stored), updated_at: Set(now), ..ActiveModel::default() };
            tx.update::<Entity>(same.id, Condition::all(), changes).await?.ok_or_else(contended)?
        }
        None if bound.len() >= MOST => {
            return Err(Error::conflict("too_many_tools", format!("An agent has at most {MOST} tools.")));
        }
        None => {
            tx.insert::<Entity>(Model {
                tenant_id: ctx.tenant,
                id: ctx.core.ids.next(),
                agent_id: agent,
                tool_id: tool,
                config: stored,
                created_at: now,
                updated_at: now,
            })
            .await?
        }
    };
    let row = release_bindings(ctx, &tx, &row).await?;
    let (before, now) = (same.cloned(), view(binding, name.clone()));
    let change = match before.map(|before| view(before, name)) {
        Some(before) => Change::updated::<Entity>(agent, &before, &now),
        None => Change::created::<Entity>(agent, &now),
    };
    // Its id in the log is the agent's.
    ctx.commit(tx, change.within(row.workspace_id)).await?;
    Ok(Bound { view: now, agent_revision: row.revision })
}

/// Takes the tool from the agent. `expected` is the agent's revision.
pub async fn delete(ctx: &Ctx, agent: Uuid, tool: Uuid, expected: Expected) -> Result<()> {
    let tx = ctx.db().begin().await?;
    let row = live_agent(&tx, agent).await?;
    expected.check(row.revision)?;
    let this = Condition::all().add(Column::AgentId.eq(agent)).add(Column::ToolId.eq(tool));
    let missing = || Error::not_found("tool binding");
    if tx.delete::<Entity>(this).await? == 0 {
        return Err(missing());
    }
    release_bindings(ctx, &tx, &row).await?;
    let change = Change::of::<Entity>(agent).with(json!({ "agentId": agent, "toolId": tool }));
    ctx.commit(tx, change.within(row.workspace_id)).await
}

async fn release_bindings(ctx: &Ctx, tx: &TenantTx, row: &agent::Model) -> Result<agent::Model> {
    let behaviour = AgentSnapshot {
        kind: row.kind,
        provider_id: row.provider_id,
        config: document::read(row.config.clone()),
        tools: bound_tools(tx, row.id).await?,
    };
    release(ctx, tx, row, agent::ActiveModel::default(), behaviour).await?.ok_or_else(contended)
}
