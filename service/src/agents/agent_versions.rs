//! Versions of agents: append-only, numbered from 1 without gaps. Only the note and the labels of a
//! version change.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::agents::agent_version::{ActiveModel, Column, Entity, Model};
use entity::agents::{agent, agent_tool, agent_version, tool};
use sea_orm::{ColumnTrait as _, Condition, ConnectionTrait, Order, Set};
use serde::{Deserialize, Serialize};
use utoipa::openapi::Type;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::agent_views::AgentView;
use super::agents::{Agents, contended};
pub use super::diff::Change;
use super::{AgentSnapshot, BoundTool, diff, snapshot};
use crate::crud::{self, Expected, Once, Page, Paging, Patch, Resource, document, patch};
use crate::ctx::Ctx;
use crate::db::{Store, TenantTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs;
use crate::integrations::integrations::check_provider;

pub struct AgentVersions;

impl Resource for AgentVersions {
    type Entity = Entity;
    type View = AgentVersionView;

    fn taken() -> Error {
        contended()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentVersionView {
    pub id: Uuid,
    pub agent_id: Uuid,
    pub number: i32,
    #[schema(required)]
    pub note: Option<String>,
    pub labels: Vec<String>,
    /// Who made it: `user:<id>` or `api-key:<id>`.
    pub author: String,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(AgentVersionPage, AgentVersionView);

/// A version with the behaviour that it stands for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentVersionDetail {
    #[serde(flatten)]
    pub version: AgentVersionView,
    pub snapshot: AgentSnapshot,
}

fn labels() -> Array {
    let label = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(64));
    ArrayBuilder::new().items(label).max_items(Some(20)).build()
}

/// Absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateAgentVersion {
    #[serde(default)]
    #[validate(length(max = 2_000))]
    #[schema(value_type = Option<String>, max_length = 2_000)]
    pub note: Patch<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 20), custom(function = "super::agent_views::valid_capabilities"))]
    #[schema(schema_with = labels)]
    pub labels: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DiffParams {
    /// The number of the version to compare with; the one before when absent.
    #[param(minimum = 1)]
    pub against: Option<i32>,
}

/// What changed from version `from` to version `to`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentVersionDiff {
    pub from: i32,
    pub to: i32,
    pub changes: Vec<Change>,
}

impl From<Model> for AgentVersionView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            agent_id,
            number,
            snapshot: _,
            note,
            labels,
            author,
            revision,
            created_at,
            updated_at,
        } = row;
        let labels = document::read(labels);
        Self { id, agent_id, number, note, labels, author, revision, created_at, updated_at }
    }
}

pub async fn list(ctx: &Ctx, agent: Uuid, paging: &Paging) -> Result<Page<AgentVersionView>> {
    crud::load::<Agents>(ctx, agent).await?;
    crud::list::<AgentVersions>(ctx, paging, Condition::all().add(Column::AgentId.eq(agent))).await
}

pub async fn get(ctx: &Ctx, agent: Uuid, number: i32) -> Result<AgentVersionDetail> {
    let version = AgentVersionView::from(load(ctx, agent, number).await?);
    let snapshot = snapshot(&ctx.core, ctx.tenant, agent, number).await?;
    Ok(AgentVersionDetail { version, snapshot: (*snapshot).clone() })
}

pub async fn diff(ctx: &Ctx, agent: Uuid, number: i32, params: &DiffParams) -> Result<AgentVersionDiff> {
    let DiffParams { against } = params;
    load(ctx, agent, number).await?;
    let against = against.unwrap_or_else(|| (number - 1).max(1));
    let to = snapshot(&ctx.core, ctx.tenant, agent, number).await?;
    let from = match snapshot(&ctx.core, ctx.tenant, agent, against).await {
        Err(Error::NotFound { .. }) => {
            return Err(Error::invalid("against", "not_found", "There is no such version."));
        }
        other => other?,
    };
    Ok(AgentVersionDiff { from: against, to: number, changes: diff::diff(&from, &to)? })
}

pub async fn update(
    ctx: &Ctx,
    agent: Uuid,
    number: i32,
    expected: Expected,
    body: UpdateAgentVersion,
) -> Result<AgentVersionView> {
    let UpdateAgentVersion { note, labels } = body;
    let row = load(ctx, agent, number).await?;
    crud::update::<AgentVersions>(ctx, row.id, expected, |row| {
        let mut changes = ActiveModel::default();
        let noted = note.clone().over(row.note.clone());
        if noted != row.note {
            changes.note = Set(noted);
        }
        if let Some(labels) = &labels {
            let labels = document::stored(labels)?;
            if labels != row.labels {
                changes.labels = Set(labels);
            }
        }
        Ok(changes)
    })
    .await
}

/// Makes the agent behave as that version did, its tools included. The version keeps its number.
///
/// # Errors
/// 409 `version_not_usable` when a tool or the provider of that version is gone.
pub async fn activate(ctx: &Ctx, agent: Uuid, number: i32) -> Result<AgentView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    load(ctx, agent, number).await?;
    let snapshot = snapshot(&ctx.core, ctx.tenant, agent, number).await?;
    if let Some(provider) = snapshot.provider_id {
        let gone = Error::conflict("version_not_usable", "The provider of this version is gone.");
        check_provider(ctx, provider, "").await.map_err(|error| match error {
            Error::Invalid { .. } => gone,
            other => other,
        })?;
    }
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let row = live_agent(&tx, agent).await?;
    let mut usable = live_tools(&tx, snapshot.tools.iter().map(|tool| tool.tool_id)).await?;
    usable.retain(|tool| tool.workspace_id.is_none() || tool.workspace_id == row.workspace_id);
    let gone: Vec<_> = snapshot
        .tools
        .iter()
        .filter(|bound| usable.iter().all(|tool| tool.id != bound.tool_id))
        .map(|t| t.name.as_str())
        .collect();
    if !gone.is_empty() {
        let message = format!("These tools of the version are gone: {}.", gone.join(", "));
        return Err(Error::conflict("version_not_usable", message));
    }
    tx.delete::<agent_tool::Entity>(agent_tool::Column::AgentId.eq(agent)).await?;
    // Ids of one millisecond are in no order, and the bindings' ids are their order.
    let mut ids: Vec<_> = snapshot.tools.iter().map(|_| ctx.core.ids.next()).collect();
    ids.sort_unstable();
    let now = ctx.core.clock.now();
    for (tool, id) in snapshot.tools.iter().zip(ids) {
        tx.insert::<agent_tool::Entity>(agent_tool::Model {
            tenant_id: ctx.tenant,
            id,
            agent_id: agent,
            tool_id: tool.tool_id,
            config: document::stored(&tool.config)?,
            created_at: now,
            updated_at: now,
        })
        .await?;
    }
    let changes = agent::ActiveModel {
        kind: Set(snapshot.kind),
        provider_id: Set(snapshot.provider_id),
        config: Set(document::stored(&snapshot.config)?),
        current_version: Set(number),
        ..agent::ActiveModel::default()
    };
    let written = crud::write::<Agents>(ctx, &tx, agent, row.revision, changes).await?;
    let (before, view) = (AgentView::from(row), AgentView::from(written.ok_or_else(contended)?));
    tx.finish(audit_logs::Change::updated::<agent::Entity>(agent, &before, &view), &view).await?;
    Ok(view)
}

async fn load(ctx: &Ctx, agent: Uuid, number: i32) -> Result<Model> {
    crud::load::<Agents>(ctx, agent).await?;
    let db = ctx.db();
    let query = db.find::<Entity>().filter(Column::AgentId.eq(agent)).filter(Column::Number.eq(number));
    query.one().await?.ok_or(Error::not_found("agent version"))
}

pub(super) async fn live_agent(tx: &TenantTx, id: Uuid) -> Result<agent::Model> {
    let found = tx.get::<agent::Entity>(id).await?.filter(|row| row.deleted_at.is_none());
    found.ok_or(Error::not_found("agent"))
}

/// Gives the agent a new behaviour under the next number. `None` when the agent was changed since
/// `row` was read.
pub(super) async fn release(
    ctx: &Ctx,
    tx: &TenantTx,
    row: &agent::Model,
    mut changes: agent::ActiveModel,
    behaviour: AgentSnapshot,
) -> Result<Option<agent::Model>> {
    let last = tx.find::<Entity>().filter(Column::AgentId.eq(row.id)).order_by(Column::Number, Order::Desc);
    let number = last.limit(1).one().await?.map_or(0, |version| version.number) + 1;
    changes.kind = Set(behaviour.kind);
    changes.provider_id = Set(behaviour.provider_id);
    changes.config = Set(document::stored(&behaviour.config)?);
    changes.current_version = Set(number);
    let written = crud::write::<Agents>(ctx, tx, row.id, row.revision, changes).await?;
    if written.is_some() {
        insert(ctx, tx, row.id, number, &behaviour).await?;
    }
    Ok(written)
}

pub(super) async fn insert(
    ctx: &Ctx,
    tx: &TenantTx,
    agent: Uuid,
    number: i32,
    behaviour: &AgentSnapshot,
) -> Result<()> {
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        agent_id: agent,
        number,
        snapshot: document::stored(behaviour)?,
        note: None,
        labels: document::stored(&Vec::<String>::new())?,
        author: ctx.actor.to_string(),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    tx.insert::<agent_version::Entity>(row).await?;
    Ok(())
}

/// The agent's tools in the order in which they were bound, without those that are gone.
pub(super) async fn bound_tools<C: ConnectionTrait>(store: &Store<C>, agent: Uuid) -> Result<Vec<BoundTool>> {
    let rows = bindings(store, agent).await?;
    let mut names = tool_names(store, rows.iter().map(|row| row.tool_id)).await?;
    let bound = rows.into_iter().filter_map(|row| {
        let name = names.remove(&row.tool_id)?;
        Some(BoundTool { tool_id: row.tool_id, name, config: document::read(row.config) })
    });
    Ok(bound.collect())
}

pub(super) async fn bindings<C: ConnectionTrait>(
    store: &Store<C>,
    agent: Uuid,
) -> Result<Vec<agent_tool::Model>> {
    let query = store.find::<agent_tool::Entity>().filter(agent_tool::Column::AgentId.eq(agent));
    query.order_by(agent_tool::Column::Id, Order::Asc).all().await
}

/// The names of those tools that are there.
pub(super) async fn tool_names<C: ConnectionTrait>(
    store: &Store<C>,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, String>> {
    Ok(live_tools(store, ids).await?.into_iter().map(|row| (row.id, row.name)).collect())
}

/// An agent's tools are seen by who sees the agent.
async fn live_tools<C: ConnectionTrait>(
    store: &Store<C>,
    ids: impl Iterator<Item = Uuid>,
) -> Result<Vec<tool::Model>> {
    let query = store.everywhere::<tool::Entity>().filter(tool::Column::Id.is_in(ids));
    query.filter(tool::Column::DeletedAt.is_null()).all().await
}
