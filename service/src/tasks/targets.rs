//! What a new run is for: a definition, an agent or a tool, with all that admission needs.
//!
//! Targets are read through a cache, so that creating runs in numbers costs no query each.

use std::collections::BTreeMap;
use std::sync::Arc;

use entity::agents::{agent, tool};
use entity::tasks::task_definition::{self, TaskType};
use entity::tasks::task_run::Model;
use sea_orm::{ColumnTrait as _, ConnectionTrait};
use serde_json::Value;
use uuid::Uuid;

use super::graph::RunGraph;
use super::run_keys::RunKeys;
use super::{DefinitionConfig, graph};
use crate::agents::{AgentConfig, AgentLimits};
use crate::ctx::Ctx;
use crate::db::{Query, Recent};
use crate::engine::policy::RunPolicy;
use crate::error::{Error, Result};
use crate::identity::workspaces::require_open;
use crate::runtime::models::Mock;
use crate::runtime::tools::ToolConfig;
use crate::schema::Schema;

/// What a caller names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    Definition(Uuid),
    Agent(Uuid),
    Tool(Uuid),
}

pub struct Target {
    /// That of what the caller names; it and what it uses are seen together.
    pub workspace_id: Option<Uuid>,
    pub definition_id: Option<Uuid>,
    pub agent: Option<(Uuid, i32)>,
    pub tool_id: Option<Uuid>,
    /// What a worker must offer to execute it; `None` where the engine does.
    pub capability: Option<String>,
    pub policy: RunPolicy,
    pub stored_policy: Value,
    pub input_schema: Option<Schema>,
    /// The type of each member of the input, where the schema names one.
    pub input_types: BTreeMap<String, String>,
    pub priority: i32,
    pub keys: Option<RunKeys>,
    /// The input is a chat: `{"messages": […]}`.
    pub chat: bool,
}

impl Wanted {
    fn missing(self) -> Error {
        match self {
            Self::Definition(_) => missing("/definitionId", "task definition"),
            Self::Agent(_) => missing("/agentId", "agent"),
            Self::Tool(_) => missing("/toolId", "tool"),
        }
    }
}

impl Target {
    /// Whose turn the run takes: its agent, else its tool, else its graph.
    pub fn lane(&self) -> Option<Uuid> {
        self.agent.map(|agent| agent.0).or(self.tool_id).or(self.definition_id)
    }

    /// Gives the run the keys of its definition, once its input and its own dedupe key are known.
    ///
    /// # Errors
    /// [`Error::Invalid`] at `/input` when a key cannot be made of it.
    pub fn stamp(&self, run: &mut Model) -> Result<()> {
        self.keys.as_ref().map_or(Ok(()), |keys| keys.stamp(run))
    }
}

/// By tenant and what is wanted.
pub type TargetCache = Recent<(Uuid, Wanted), Target>;

/// # Errors
/// [`Error::Invalid`] at the body's pointer when there is no such target, or the caller does not see it; 403
/// where their role in its workspace does not suffice; a 409 when it is not active.
pub async fn resolve(ctx: &Ctx, wanted: Wanted) -> Result<Arc<Target>> {
    let target = ctx.core.targets.get(&ctx.core.db, (ctx.tenant, wanted), load(ctx, wanted)).await?;
    // What others looked up is not for everybody.
    let agent = target.agent.map(|agent| agent.0);
    if !ctx.view.sees(target.workspace_id) || !ctx.rights.reach.holds_agent(agent) {
        return Err(wanted.missing());
    }
    ctx.view.require(target.workspace_id)?;
    Ok(target)
}

async fn load(ctx: &Ctx, wanted: Wanted) -> Result<Target> {
    match wanted {
        Wanted::Definition(id) => of_definition(ctx, id).await,
        Wanted::Agent(id) => {
            let db = ctx.db();
            let agent = live_agent(db.find(), id).await?.ok_or_else(|| wanted.missing())?;
            require_open(ctx, agent.workspace_id).await?;
            target(agent.workspace_id, None, Executes::agent(&agent)?, RunPolicy::default())
        }
        Wanted::Tool(id) => {
            let db = ctx.db();
            let tool = live_tool(db.find(), id).await?.ok_or_else(|| wanted.missing())?;
            require_open(ctx, tool.workspace_id).await?;
            target(tool.workspace_id, None, Executes::tool(&tool)?, RunPolicy::default())
        }
    }
}

/// The agent or tool of a run, and who executes it.
#[derive(Default)]
struct Executes {
    agent: Option<(Uuid, i32)>,
    tool_id: Option<Uuid>,
    capability: Option<String>,
    mock: bool,
    /// How deep the agent's trees are, where it says so.
    max_depth: Option<i32>,
    /// The longest that a worker may take over a call.
    seconds: Option<u32>,
}

impl Executes {
    fn agent(agent: &agent::Model) -> Result<Self> {
        let config: AgentConfig = serde_json::from_value(agent.config.clone()).map_err(Error::internal)?;
        let capability = config.delivery.capability(&agent.slug);
        let mock = capability.is_none() && Mock::serves(&config.model);
        let levels = config.limits.max_depth;
        let max_depth =
            (levels != AgentLimits::default().max_depth).then(|| i32::try_from(levels).ok()).flatten();
        let of = Some((agent.id, agent.current_version));
        Ok(Self { agent: of, capability, mock, max_depth, ..Self::default() })
    }

    fn tool(tool: &tool::Model) -> Result<Self> {
        let capability = ToolConfig::parse(tool.kind, &tool.config)?.capability();
        let seconds = capability.as_ref().and_then(|_| u32::try_from(tool.timeout_seconds).ok());
        Ok(Self { tool_id: Some(tool.id), capability, seconds, ..Self::default() })
    }
}

fn target(
    workspace_id: Option<Uuid>,
    definition_id: Option<Uuid>,
    executes: Executes,
    mut policy: RunPolicy,
) -> Result<Target> {
    let Executes { agent, tool_id, capability, mock, max_depth, seconds } = executes;
    (policy.mock, policy.max_depth) = (mock, max_depth);
    if let Some(seconds) = seconds {
        policy.timeouts.attempt_seconds = policy.timeouts.attempt_seconds.min(seconds);
    }
    let stored_policy = serde_json::to_value(&policy).map_err(Error::internal)?;
    Ok(Target {
        workspace_id,
        definition_id,
        agent,
        tool_id,
        capability,
        policy,
        stored_policy,
        input_schema: None,
        input_types: BTreeMap::new(),
        priority: 0,
        keys: None,
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
    let definition = found.ok_or_else(|| Wanted::Definition(id).missing())?;
    let workspace = definition.workspace_id;
    require_open(ctx, workspace).await?;
    if !definition.is_active {
        return Err(Error::conflict("definition_inactive", "The task definition is not active."));
    }
    let config: DefinitionConfig = serde_json::from_value(definition.config).map_err(Error::internal)?;
    let (mut policy, mut executes) = (config.run_policy(), Executes::default());
    let db = ctx.db();
    let is_within = |used: Option<Uuid>| used.is_none() || used == workspace;
    if let Some(id) = definition.agent_id {
        let found = live_agent(db.everywhere(), id).await?.filter(|agent| is_within(agent.workspace_id));
        let found = found.ok_or_else(|| missing("/definitionId", "agent"))?;
        executes = Executes::agent(&found)?;
    }
    if let Some(id) = definition.tool_id {
        let found = live_tool(db.everywhere(), id).await?.filter(|tool| is_within(tool.workspace_id));
        executes = Executes::tool(&found.ok_or_else(|| missing("/definitionId", "tool"))?)?;
    }
    if !config.steps.is_empty() {
        let at = "/config/steps";
        let everything = ctx.core.db.tenant(ctx.tenant);
        policy.graph = Some(RunGraph {
            targets: graph::resolve::targets(ctx, &everything, workspace, &config.steps, at).await?,
            steps: config.steps.clone(),
            output: config.output.clone(),
            from_step: None,
        });
    }
    let input_schema = match &config.input_schema {
        None => None,
        Some(schema) => Some(ctx.core.schemas.get(schema).await?),
    };
    let input_types = config.input_schema.as_ref().map(types).unwrap_or_default();
    Ok(Target {
        input_schema,
        input_types,
        priority: config.priority,
        keys: RunKeys::of(definition.id, &config)?,
        chat: definition.kind == TaskType::Chat,
        ..target(workspace, Some(definition.id), executes, policy)?
    })
}

fn types(schema: &Value) -> BTreeMap<String, String> {
    let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let typed =
        members.filter_map(|(name, member)| Some((name.clone(), member.get("type")?.as_str()?.to_owned())));
    typed.collect()
}

async fn live_agent<C: ConnectionTrait>(
    agents: Query<'_, C, agent::Entity>,
    id: Uuid,
) -> Result<Option<agent::Model>> {
    agents.filter(agent::Column::Id.eq(id)).filter(agent::Column::DeletedAt.is_null()).one().await
}

async fn live_tool<C: ConnectionTrait>(
    tools: Query<'_, C, tool::Entity>,
    id: Uuid,
) -> Result<Option<tool::Model>> {
    tools.filter(tool::Column::Id.eq(id)).filter(tool::Column::DeletedAt.is_null()).one().await
}

fn missing(pointer: &str, kind: &str) -> Error {
    Error::invalid(pointer, "not_found", format!("There is no such {kind}."))
}
