//! Which agents call which, through tools of type AGENT. Invariant: no agent leads back to itself, and no chain is
//! longer than runs are deep.

use std::collections::HashSet;

use entity::agents::tool::{self, ToolType};
use entity::agents::{agent, agent_tool};
use sea_orm::{ColumnTrait as _, ConnectionTrait};
use uuid::Uuid;

use crate::crud;
use crate::db::Store;
use crate::error::{Error, Result};
use crate::runtime::tools::AgentCallConfig;

/// Calls from the first agent of a chain to its last.
const LONGEST: usize = 4;

/// Whether `caller` may be given a tool that is `callee`.
///
/// # Errors
/// 409 `agent_cycle`, `too_deep`.
pub(super) async fn check<C: ConnectionTrait>(db: &Store<C>, caller: Uuid, callee: Uuid) -> Result<()> {
    let below = levels(db, callee, Direction::Called, caller).await?;
    let above = levels(db, caller, Direction::Calling, callee).await?;
    if above + 1 + below > LONGEST {
        let message = format!("Agents would call each other more than {LONGEST} levels deep.");
        return Err(Error::conflict("too_deep", message));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Direction {
    Called,
    Calling,
}

/// How many levels of agents there are in one direction; none of them is `other`.
async fn levels<C: ConnectionTrait>(
    db: &Store<C>,
    start: Uuid,
    direction: Direction,
    other: Uuid,
) -> Result<usize> {
    let mut level = HashSet::from([start]);
    let mut count = 0;
    loop {
        if level.contains(&other) {
            let message = "The agent would call itself, by way of the agents that it calls.";
            return Err(Error::conflict("agent_cycle", message));
        }
        let next = match direction {
            Direction::Called => called(db, &level).await?,
            Direction::Calling => calling(db, &level).await?,
        };
        // A chain that is longer than this is refused, whatever comes behind it.
        if next.is_empty() || count > LONGEST {
            return Ok(count);
        }
        count += 1;
        level = next;
    }
}

/// The agents that these call.
async fn called<C: ConnectionTrait>(db: &Store<C>, agents: &HashSet<Uuid>) -> Result<HashSet<Uuid>> {
    let bound = db.everywhere::<agent_tool::Entity>();
    let bound = bound.filter(agent_tool::Column::AgentId.is_in(agents.iter().copied())).all().await?;
    let tools = db.everywhere::<tool::Entity>();
    let tools = tools
        .filter(tool::Column::Id.is_in(bound.into_iter().map(|bound| bound.tool_id)))
        .filter(tool::Column::Kind.eq(ToolType::Agent))
        .filter(tool::Column::DeletedAt.is_null());
    let configs = tools.all().await?.into_iter().map(|row| AgentCallConfig::parse(&row.config));
    configs.map(|config| Ok(config?.agent_id)).collect()
}

/// The agents that call these.
async fn calling<C: ConnectionTrait>(db: &Store<C>, agents: &HashSet<Uuid>) -> Result<HashSet<Uuid>> {
    let mut callers = HashSet::new();
    for agent in agents {
        let named = crud::metadata_is(tool::Column::Config, "agentId", &agent.to_string());
        let tools = db.everywhere::<tool::Entity>().filter(named);
        let tools = tools.filter(tool::Column::Kind.eq(ToolType::Agent));
        let tools = tools.filter(tool::Column::DeletedAt.is_null()).all().await?;
        let bound = db.everywhere::<agent_tool::Entity>();
        let bound = bound.filter(agent_tool::Column::ToolId.is_in(tools.into_iter().map(|row| row.id)));
        let ids = bound.all().await?.into_iter().map(|bound| bound.agent_id);
        let live = db.everywhere::<agent::Entity>().filter(agent::Column::Id.is_in(ids));
        let live = live.filter(agent::Column::DeletedAt.is_null()).all().await?;
        callers.extend(live.into_iter().map(|row| row.id));
    }
    Ok(callers)
}
