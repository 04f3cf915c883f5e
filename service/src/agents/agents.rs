//! Agents. Invariant: the behaviour that an agent has is that of its current version; a change of
//! behaviour writes the agent and a new version in one transaction.

use entity::agents::agent::{ActiveModel, AgentStatus, Column, Entity, Model};
use entity::identity::tenant;
use entity::tasks::task_definition;
use sea_orm::{ColumnTrait as _, Condition, Set};
use serde_json::Value;
use uuid::Uuid;

use super::agent_versions;
use super::agent_views::{AgentFilter, AgentView, CreateAgent, PauseAgent, UpdateAgent};
use super::{AgentConfig, AgentSnapshot};
use crate::crud::{self, Expected, Once, Page, Paging, Patch, Resource, document, metadata, slug};
use crate::ctx::Ctx;
use crate::db::{TenantTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::{self, Quota};
use crate::identity::workspaces;
use crate::integrations::integrations::check_provider;
use crate::runtime::models::mock;
use crate::schema::Schema;

const UPDATE_TRIES: usize = 5;

pub struct Agents;

impl Resource for Agents {
    type Entity = Entity;
    type View = AgentView;

    fn taken() -> Error {
        Error::conflict("slug_taken", "An agent with this slug exists.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &AgentFilter) -> Result<Page<AgentView>> {
    let AgentFilter { kind, status, model, slug, provider_id, workspace_id } = filter;
    let condition = Condition::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(model.as_deref().map(|model| crud::metadata_is(Column::Config, "model", model)))
        .add_option(slug.as_deref().map(|slug| Column::Slug.eq(slug)))
        .add_option(provider_id.map(|id| Column::ProviderId.eq(id)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)));
    crud::list::<Agents>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<AgentView> {
    crud::get::<Agents>(ctx, id).await
}

pub async fn create(ctx: &Ctx, body: CreateAgent) -> Result<AgentView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    let (id, now) = (ctx.core.ids.next(), ctx.core.clock.now());
    let CreateAgent {
        name,
        slug,
        workspace_id,
        kind,
        provider_id,
        model,
        fallback_models,
        system_prompt,
        personality,
        temperature,
        max_tokens,
        knowledge_base_ids,
        mcp_server_ids,
        welcome_message,
        handoff_enabled,
        capabilities,
        max_concurrent,
        cost_per_run,
        limits,
        delivery,
        output_schema,
        metadata,
    } = body;
    let workspace_id = workspaces::admit(ctx, workspace_id).await?;
    let defaults = AgentConfig::default();
    let config = AgentConfig {
        personality,
        system_prompt,
        model: model.unwrap_or(defaults.model),
        fallback_models,
        temperature: temperature.over(defaults.temperature),
        max_tokens: max_tokens.unwrap_or(defaults.max_tokens),
        knowledge_base_ids,
        mcp_server_ids,
        welcome_message,
        handoff_enabled,
        capabilities,
        cost_per_run,
        limits,
        delivery,
        output_schema,
    };
    let behaviour = AgentSnapshot { kind, provider_id, config, tools: Vec::new() };
    check(ctx, &behaviour).await?;
    let slug = match slug {
        Some(slug) => slug,
        None => slug::free::<Entity>(ctx, Column::Slug, &name, id, "agent").await?,
    };
    let row = Model {
        tenant_id: ctx.tenant,
        id,
        workspace_id,
        name,
        slug,
        kind,
        status: AgentStatus::Active,
        status_reason: None,
        stopped_at: None,
        current_version: 1,
        config: document::stored(&behaviour.config)?,
        provider_id,
        max_concurrent,
        metadata: metadata::stored(metadata),
        revision: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    tenant_limits::admit(ctx, &tx, Quota::Agents).await?;
    let row = tx.insert::<Entity>(row).await.map_err(on_violation(Violation::Unique, Agents::taken()))?;
    agent_versions::insert(ctx, &tx, id, 1, &behaviour).await?;
    let view = AgentView::from(row);
    tx.finish(Change::created::<Entity>(id, &view), &view).await?;
    Ok(view)
}

/// Applies a merge patch. A change of behaviour makes a new version.
pub async fn update(ctx: &Ctx, id: Uuid, expected: Expected, body: UpdateAgent) -> Result<AgentView> {
    for _ in 0..UPDATE_TRIES {
        let row = crud::load::<Agents>(ctx, id).await?;
        expected.check(row.revision)?;
        let before = AgentSnapshot {
            kind: row.kind,
            provider_id: row.provider_id,
            config: document::read(row.config.clone()),
            tools: Vec::new(),
        };
        let after = patched(&before, &body)?;
        let changes = changes(&row, &body)?;
        if after != before {
            check(ctx, &after).await?;
        } else if changes == ActiveModel::default() {
            return Ok(row.into());
        }
        let tx = ctx.db().begin().await?;
        let written = if after == before {
            crud::write::<Agents>(ctx, &tx, id, row.revision, changes).await?
        } else {
            let tools = agent_versions::bound_tools(&tx, id).await?;
            agent_versions::release(ctx, &tx, &row, changes, AgentSnapshot { tools, ..after }).await?
        };
        if let Some(written) = written {
            let (old, new) = (AgentView::from(row), AgentView::from(written));
            ctx.commit(tx, Change::updated::<Entity>(id, &old, &new)).await?;
            return Ok(new);
        }
    }
    Err(contended())
}

pub(super) fn contended() -> Error {
    Error::conflict("concurrent_update", "The agent is being changed by others: try again.")
}

pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::load::<Agents>(ctx, id).await?;
    let db = ctx.db();
    let user = db
        .everywhere::<task_definition::Entity>()
        .filter(task_definition::Column::AgentId.eq(id))
        .filter(task_definition::Column::DeletedAt.is_null())
        .one()
        .await?;
    if let Some(user) = user {
        return Err(in_use(ctx, "task definition", &user.name, user.workspace_id));
    }
    crud::delete::<Agents>(ctx, id, expected).await
}

/// What uses a resource is named to who sees it.
pub(crate) fn in_use(ctx: &Ctx, kind: &str, name: &str, workspace: Option<Uuid>) -> Error {
    match ctx.view.sees(workspace) {
        true => Error::conflict("in_use", format!("The {kind} {name} uses it.")),
        false => Error::conflict("in_use", "Something that you do not see uses it."),
    }
}

/// ACTIVE → PAUSED: no new attempt of its runs starts.
pub async fn pause(ctx: &Ctx, id: Uuid, body: PauseAgent) -> Result<AgentView> {
    let PauseAgent { reason } = body;
    let from = [AgentStatus::Active];
    transition(ctx, id, &from, AgentStatus::Paused, reason).await
}

/// PAUSED or QUARANTINED → ACTIVE.
pub async fn resume(ctx: &Ctx, id: Uuid) -> Result<AgentView> {
    let from = [AgentStatus::Paused, AgentStatus::Quarantined];
    transition(ctx, id, &from, AgentStatus::Active, None).await
}

async fn transition(
    ctx: &Ctx,
    id: Uuid,
    from: &[AgentStatus],
    to: AgentStatus,
    reason: Option<String>,
) -> Result<AgentView> {
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let found = tx.get::<Entity>(id).await?.filter(|row| row.deleted_at.is_none());
    let row = found.ok_or(Error::not_found("agent"))?;
    if to == AgentStatus::Active && is_stopped(&tx).await? {
        let message = "An emergency stop holds: release it, and what it paused is resumed.";
        return Err(Error::conflict("emergency_stopped", message));
    }
    let precondition = Condition::all()
        .add(Column::DeletedAt.is_null())
        .add(Column::Status.is_in(from.iter().copied()))
        .add(Column::Revision.eq(row.revision));
    let changes = ActiveModel {
        status: Set(to),
        status_reason: Set(reason),
        revision: Set(row.revision + 1),
        updated_at: Set(ctx.core.clock.now()),
        ..ActiveModel::default()
    };
    let before = AgentView::from(row.clone());
    let Some(row) = tx.update::<Entity>(id, precondition, changes).await? else {
        let status = document::stored(&row.status)?;
        let message = format!("The agent is {}.", status.as_str().unwrap_or_default());
        return Err(Error::conflict("invalid_transition", message));
    };
    let view = AgentView::from(row);
    tx.finish(Change::updated::<Entity>(id, &before, &view), &view).await?;
    Ok(view)
}

async fn is_stopped(tx: &TenantTx) -> Result<bool> {
    Ok(tx.get::<tenant::Entity>(tx.tenant()).await?.is_some_and(|tenant| tenant.stopped_at.is_some()))
}

/// The behaviour after the patch.
fn patched(before: &AgentSnapshot, body: &UpdateAgent) -> Result<AgentSnapshot> {
    let mut after = before.clone();
    let AgentSnapshot { kind, provider_id, config, tools: _ } = &mut after;
    *kind = body.kind.unwrap_or(*kind);
    body.provider_id.apply(provider_id);
    set(&mut config.model, body.model.as_ref());
    set(&mut config.fallback_models, body.fallback_models.as_ref());
    body.system_prompt.apply(&mut config.system_prompt);
    match &body.personality {
        Patch::Keep => {}
        Patch::Clear => config.personality.clear(),
        Patch::Set(patch) => {
            let mut personality = Value::Object(std::mem::take(&mut config.personality));
            document::merge(&mut personality, &Value::Object(patch.clone()));
            config.personality = personality.as_object().cloned().unwrap_or_default();
        }
    }
    body.temperature.apply(&mut config.temperature);
    set(&mut config.max_tokens, body.max_tokens.as_ref());
    set(&mut config.knowledge_base_ids, body.knowledge_base_ids.as_ref());
    set(&mut config.mcp_server_ids, body.mcp_server_ids.as_ref());
    body.welcome_message.apply(&mut config.welcome_message);
    set(&mut config.handoff_enabled, body.handoff_enabled.as_ref());
    set(&mut config.capabilities, body.capabilities.as_ref());
    body.cost_per_run.apply(&mut config.cost_per_run);
    if let Some(patch) = &body.limits {
        config.limits = document::patched(&config.limits, patch, "/limits")?;
    }
    set(&mut config.delivery, body.delivery.as_ref());
    document::apply(&mut config.output_schema, &body.output_schema);
    Ok(after)
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

/// The changes beside behaviour: these make no version.
fn changes(row: &Model, body: &UpdateAgent) -> Result<ActiveModel> {
    let mut changes = ActiveModel::default();
    if let Some(name) = body.name.as_ref().filter(|name| **name != row.name) {
        changes.name = Set(name.clone());
    }
    if let Some(slug) = body.slug.as_ref().filter(|slug| **slug != row.slug) {
        changes.slug = Set(slug.clone());
    }
    let max_concurrent = body.max_concurrent.clone().over(row.max_concurrent);
    if max_concurrent != row.max_concurrent {
        changes.max_concurrent = Set(max_concurrent);
    }
    let metadata = metadata::patched(&row.metadata, &body.metadata)?;
    if metadata != row.metadata {
        changes.metadata = Set(metadata);
    }
    Ok(changes)
}

/// What shapes alone do not show: names that must exist, a schema that must compile.
async fn check(ctx: &Ctx, behaviour: &AgentSnapshot) -> Result<()> {
    let config = &behaviour.config;
    let unknown_mock = |model: &str| model.starts_with("mock/") && !mock::MODELS.contains(&model);
    if unknown_mock(&config.model) {
        let message = format!("The mock models are {}.", mock::MODELS.join(", "));
        return Err(Error::invalid("/model", "not_found", message));
    }
    if let Some(id) = behaviour.provider_id {
        check_provider(ctx, id, "/providerId").await?;
    }
    for (ids, field, what) in [
        (&config.knowledge_base_ids, "knowledgeBaseIds", "knowledge base"),
        (&config.mcp_server_ids, "mcpServerIds", "MCP server"),
    ] {
        if !ids.is_empty() {
            return Err(Error::invalid(
                format!("/{field}/0"),
                "not_found",
                format!("There is no such {what}."),
            ));
        }
    }
    for (pointer, amount) in
        [("/costPerRun", config.cost_per_run), ("/limits/maxCost", config.limits.max_cost)]
    {
        if amount.is_some_and(|amount| amount.0 < 0) {
            return Err(Error::invalid(pointer, "range", "must not be negative"));
        }
    }
    if let Some(schema) = &config.output_schema {
        Schema::compile(schema, "/outputSchema")?;
    }
    Ok(())
}
