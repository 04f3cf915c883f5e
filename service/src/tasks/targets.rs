//! What a new run is for: a definition, an agent or a tool, with all that admission needs.
//!
//! Targets are read through a cache, so that creating runs in numbers costs no query each.

use std::sync::Arc;

use entity::agents::{agent, tool};
use entity::tasks::task_definition::{self, TaskType};
use sea_orm::ColumnTrait as _;
use serde_json::Value;
use uuid::Uuid;

use super::DefinitionConfig;
use crate::agents::AgentConfig;
use crate::ctx::Ctx;
use crate::db::Recent;
use crate::engine::policy::RunPolicy;
use crate::error::{Error, Result};
use crate::runtime::models::Mock;
use crate::schema::Schema;

/// What a caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    Definition(Uuid),
    Agent(Uuid),
    Tool(Uuid),
}

pub struct Target {
    pub definition_id: Option<Uuid>,
    pub agent: Option<(Uuid, i32)>,
    pub tool_id: Option<Uuid>,
    pub policy: RunPolicy,
    pub stored_policy: Value,
    pub input_schema: Option<Schema>,
    pub priority: i32,
    /// The input is a chat: `{"messages": […]}`.
    pub chat: bool,
}

impl Target {
    /// Whose turn the run takes: its agent, else its tool.
    pub fn lane(&self) -> Option<Uuid> {
        self.agent.map(|agent| agent.0).or(self.tool_id)
    }
}

/// By tenant and what is wanted.
pub type TargetCache = Recent<(Uuid, Wanted), Target>;

/// # Errors
/// [`Error::Invalid`] at the body's pointer when there is no such target; a 409 when it is not active.
pub async fn resolve(ctx: &Ctx, wanted: Wanted) -> Result<Arc<Target>> {
    ctx.core.targets.get(&ctx.core.db, (ctx.tenant, wanted), load(ctx, wanted)).await
}

async fn load(ctx: &Ctx, wanted: Wanted) -> Result<Target> {
    match wanted {
        Wanted::Definition(id) => of_definition(ctx, id).await,
        Wanted::Agent(id) => {
            let (agent, mock) = live_agent(ctx, id, "/agentId").await?;
            target(None, Some(agent), None, RunPolicy { mock, ..RunPolicy::default() })
        }
        Wanted::Tool(id) => {
            let tool = live_tool(ctx, id, "/toolId").await?;
            target(None, None, Some(tool.id), RunPolicy::default())
        }
    }
}

fn target(
    definition_id: Option<Uuid>,
    agent: Option<(Uuid, i32)>,
    tool_id: Option<Uuid>,
    policy: RunPolicy,
) -> Result<Target> {
    let stored_policy = serde_json::to_value(&policy).map_err(Error::internal)?;
    Ok(Target {
        definition_id,
        agent,
        tool_id,
        policy,
        stored_policy,
        input_schema: None,
        priority: 0,
        chat: false,
    })
}

async fn of_definition(ctx: &Ctx, id: Uuid) -> Result<Target> {
    let found = ctx
        .db()
        .find::<task_definition::Entity>()
        .filter(task_definition::Column::Id.eq(id))
        .filter(task_definition::Column::DeletedAt.is_null())
        .one()
        .await?;
    let Some(definition) = found else { return Err(missing("/definitionId", "task definition")) };
    if !definition.is_active {
        return Err(Error::conflict("definition_inactive", "The task definition is not active."));
    }
    let config: DefinitionConfig = serde_json::from_value(definition.config).map_err(Error::internal)?;
    let mut policy = config.run_policy();
    let mut agent = None;
    if let Some(id) = definition.agent_id {
        let (found, mock) = live_agent(ctx, id, "/definitionId").await?;
        agent = Some(found);
        policy.mock = mock;
    }
    if let Some(id) = definition.tool_id {
        live_tool(ctx, id, "/definitionId").await?;
    }
    let input_schema = match &config.input_schema {
        None => None,
        Some(schema) => Some(ctx.core.schemas.get(schema).await?),
    };
    Ok(Target {
        input_schema,
        priority: config.priority,
        chat: definition.kind == TaskType::Chat,
        ..target(Some(definition.id), agent, definition.tool_id, policy)?
    })
}

async fn live_agent(ctx: &Ctx, id: Uuid, pointer: &str) -> Result<((Uuid, i32), bool)> {
    let live = agent::Column::DeletedAt.is_null();
    let found = ctx.db().find::<agent::Entity>().filter(agent::Column::Id.eq(id)).filter(live).one().await?;
    let agent = found.ok_or_else(|| missing(pointer, "agent"))?;
    let config: AgentConfig = serde_json::from_value(agent.config).map_err(Error::internal)?;
    Ok(((agent.id, agent.current_version), Mock::serves(&config.model)))
}

async fn live_tool(ctx: &Ctx, id: Uuid, pointer: &str) -> Result<tool::Model> {
    let live = tool::Column::DeletedAt.is_null();
    let found = ctx.db().find::<tool::Entity>().filter(tool::Column::Id.eq(id)).filter(live).one().await?;
    found.ok_or_else(|| missing(pointer, "tool"))
}

fn missing(pointer: &str, kind: &str) -> Error {
    Error::invalid(pointer, "not_found", format!("There is no such {kind}."))
}
