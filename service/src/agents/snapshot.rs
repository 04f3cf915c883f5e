//! One behaviour of an agent, complete and immutable: what a run reads.

use std::sync::Arc;

use entity::agents::agent::AgentType;
use entity::agents::agent_version::{Column, Entity};
use moka::future::Cache;
use sea_orm::ColumnTrait as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AgentConfig, AgentToolConfig};
use crate::core::Core;
use crate::error::{Error, Result};

/// Bytes of all cached snapshots, as JSON.
const MAX_WEIGHT: u64 = 32 * 1024 * 1024;

/// Stored in `agent_version.snapshot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSnapshot {
    #[serde(rename = "type")]
    pub kind: AgentType,
    #[schema(required)]
    pub provider_id: Option<Uuid>,
    pub config: AgentConfig,
    /// In the order in which they were bound.
    pub tools: Vec<BoundTool>,
}

/// A tool of the agent with the policy of its use. What the tool does is read when it is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundTool {
    pub tool_id: Uuid,
    /// As it was when the version was made.
    pub name: String,
    pub config: AgentToolConfig,
}

/// Snapshots by tenant, agent and number. They never change, so they never expire.
#[derive(Clone)]
pub struct SnapshotCache(Cache<(Uuid, Uuid, i32), (u32, Arc<AgentSnapshot>)>);

impl Default for SnapshotCache {
    fn default() -> Self {
        let weigh = |_: &(Uuid, Uuid, i32), (bytes, _): &(u32, Arc<AgentSnapshot>)| *bytes;
        Self(Cache::builder().max_capacity(MAX_WEIGHT).weigher(weigh).build())
    }
}

/// The behaviour of an agent under a version's number.
///
/// # Errors
/// [`Error::NotFound`] when there is no such version.
pub async fn snapshot(core: &Core, tenant: Uuid, agent: Uuid, number: i32) -> Result<Arc<AgentSnapshot>> {
    let key = (tenant, agent, number);
    if let Some((_, found)) = core.snapshots.0.get(&key).await {
        return Ok(found);
    }
    let db = core.db.tenant(tenant);
    let query = db.find::<Entity>().filter(Column::AgentId.eq(agent)).filter(Column::Number.eq(number));
    let row = query.one().await?.ok_or(Error::not_found("agent version"))?;
    let weight = u32::try_from(row.snapshot.to_string().len()).unwrap_or(u32::MAX);
    let found: Arc<AgentSnapshot> = Arc::new(serde_json::from_value(row.snapshot).map_err(Error::internal)?);
    core.snapshots.0.insert(key, (weight, Arc::clone(&found))).await;
    Ok(found)
}
