//! Reading a run's plan: the version's snapshot, its tools as they are now, who serves its models.

use std::collections::HashMap;

use entity::agents::tool::{Column, Entity, Model};
use entity::integrations::integration;
use entity::tasks::task_run;
use sea_orm::ColumnTrait as _;
use uuid::Uuid;

use super::plan::{Bound, Candidate, Output, Plan};
use crate::agents::{AgentSnapshot, BoundTool};
use crate::core::Core;
use crate::engine::policy::RunPolicy;
use crate::error::{Error, Result};
use crate::integrations;
use crate::runtime::call::Tool;
use crate::runtime::models::Mock;
use crate::runtime::rate::Bucket;
use crate::usage::price;

/// The plan of a run of this agent.
///
/// # Errors
/// [`Error::NotFound`] when the run's version does not exist, or what reading the database fails with.
pub async fn load(core: &Core, run: &task_run::Model, agent: Uuid) -> Result<Plan> {
    let number = run.agent_version.ok_or(Error::not_found("agent version"))?;
    let snapshot = crate::agents::snapshot(core, run.tenant_id, agent, number).await?;
    let RunPolicy { output_schema, limits, .. } = RunPolicy::of(run);
    let mut config = snapshot.config.clone();
    if let Some(limits) = limits {
        config.limits = limits.within(&config.limits);
    }
    let schema = output_schema.or_else(|| config.output_schema.clone());
    let output = match schema {
        Some(schema) => Some(Output::new(schema, &core.schemas).await?),
        None => None,
    };
    Ok(Plan {
        models: models(core, run.tenant_id, &snapshot).await?,
        tools: tools(core, run.tenant_id, &snapshot.tools).await?,
        output,
        config,
    })
}

async fn models(core: &Core, tenant: Uuid, snapshot: &AgentSnapshot) -> Result<Vec<Candidate>> {
    let bucket = bucket(core, tenant, snapshot.provider_id).await?;
    let mut candidates = Vec::new();
    for model in std::iter::once(&snapshot.config.model).chain(&snapshot.config.fallback_models) {
        candidates.push(Candidate {
            model: model.clone(),
            provider: integrations::provider(core, tenant, snapshot.provider_id, model).await,
            price: price(core, tenant, model, core.clock.now()).await?,
            bucket: bucket.clone().filter(|_| !Mock::serves(model)),
        });
    }
    Ok(candidates)
}

async fn bucket(core: &Core, tenant: Uuid, provider: Option<Uuid>) -> Result<Option<Bucket>> {
    let Some(id) = provider else { return Ok(None) };
    let row = core.db.tenant(tenant).get::<integration::Entity>(id).await?;
    Ok(row.as_ref().and_then(Bucket::of_integration))
}

/// The bound tools that still exist, in their order, under the names that the version gave them.
async fn tools(core: &Core, tenant: Uuid, bound: &[BoundTool]) -> Result<Vec<Bound>> {
    if bound.is_empty() {
        return Ok(Vec::new());
    }
    let db = core.db.tenant(tenant);
    let ids: Vec<Uuid> = bound.iter().map(|bound| bound.tool_id).collect();
    let rows =
        db.find::<Entity>().filter(Column::Id.is_in(ids)).filter(Column::DeletedAt.is_null()).all().await?;
    let mut rows: HashMap<Uuid, Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    let live = bound.iter().filter_map(|bound| Some((bound, rows.remove(&bound.tool_id)?)));
    live.map(|(bound, row)| {
        let tool = Tool::new(Model { name: bound.name.clone(), ..row })?;
        Ok(Bound::new(tool, bound.config.clone()))
    })
    .collect()
}
