//! Moving agents, tools and definitions into a workspace or out of it, together: what they use and what uses
//! them must be there as well, or belong to the tenant. Runs stay where they were made.

use entity::agents::{agent, tool};
use entity::identity::workspace::{Column, Entity};
use entity::scope::Record;
use entity::tasks::task_definition;
use sea_orm::{ActiveModelTrait, ColumnTrait as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{Workspaces, archived};
use crate::agents::agents::Agents;
use crate::agents::tools::Tools;
use crate::crud::{self, Once, Resource};
use crate::ctx::Ctx;
use crate::db::TenantTx;
use crate::error::{Error, FieldError, Result};
use crate::governance::audit_logs::Change;
use crate::tasks::task_definitions::TaskDefinitions;
use crate::tasks::{batch_tasks, scheduled_tasks};

/// Uses that cross a border; there is none before a move.
const CROSSING: &str = "SELECT d.id FROM task_definition d \
         JOIN agent u ON u.tenant_id = d.tenant_id AND u.id = d.agent_id \
         WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND u.workspace_id IS NOT NULL \
         AND (d.workspace_id IS NULL OR d.workspace_id <> u.workspace_id) \
     UNION ALL SELECT d.id FROM task_definition d \
         JOIN tool u ON u.tenant_id = d.tenant_id AND u.id = d.tool_id \
         WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND u.workspace_id IS NOT NULL \
         AND (d.workspace_id IS NULL OR d.workspace_id <> u.workspace_id) \
     UNION ALL SELECT a.id FROM agent a \
         JOIN agent_tool b ON b.tenant_id = a.tenant_id AND b.agent_id = a.id \
         JOIN tool u ON u.tenant_id = b.tenant_id AND u.id = b.tool_id \
         WHERE a.tenant_id = $1 AND a.deleted_at IS NULL AND u.workspace_id IS NOT NULL \
         AND (a.workspace_id IS NULL OR a.workspace_id <> u.workspace_id) \
     LIMIT 1";

/// At least one of all.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveToWorkspace {
    #[serde(default)]
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    pub agent_ids: Vec<Uuid>,
    #[serde(default)]
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    pub tool_ids: Vec<Uuid>,
    #[serde(default)]
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    pub definition_ids: Vec<Uuid>,
}

/// What was moved; what was there already is not in it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedToWorkspace {
    /// Where it belongs now; null is the tenant.
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub agent_ids: Vec<Uuid>,
    pub tool_ids: Vec<Uuid>,
    pub definition_ids: Vec<Uuid>,
}

/// Inbound hooks are where their definitions are.
const HOOKS_FOLLOW: &str = "UPDATE inbound_hook SET workspace_id = (SELECT d.workspace_id FROM task_definition d \
     WHERE d.tenant_id = inbound_hook.tenant_id AND d.id = inbound_hook.definition_id) \
     WHERE tenant_id = $1 AND workspace_id IS DISTINCT FROM (SELECT d.workspace_id FROM task_definition d \
     WHERE d.tenant_id = inbound_hook.tenant_id AND d.id = inbound_hook.definition_id)";

/// Moves into the workspace, from wherever each is.
///
/// # Errors
/// 409 `workspace_archived`, `not_in_team`, `other_workspace` where a use would cross the border; 422 at each
/// id that the caller does not see.
pub async fn transfer(ctx: &Ctx, id: Uuid, what: MoveToWorkspace) -> Result<MovedToWorkspace> {
    relocate(ctx, id, what, Some(id)).await
}

/// Moves out of the workspace: what is moved is the tenant's.
///
/// # Errors
/// 409 `not_in_team`, `other_workspace` where what is moved uses what stays; 422 at each id that is not in the
/// workspace.
pub async fn release(ctx: &Ctx, id: Uuid, what: MoveToWorkspace) -> Result<MovedToWorkspace> {
    relocate(ctx, id, what, None).await
}

async fn relocate(ctx: &Ctx, id: Uuid, what: MoveToWorkspace, to: Option<Uuid>) -> Result<MovedToWorkspace> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    crud::load::<Workspaces>(ctx, id).await?;
    if !ctx.view.sees(Some(id)) {
        return Err(Error::conflict("not_in_team", "Join the team first: only it sees what is there."));
    }
    ctx.view.require(Some(id))?;
    let MoveToWorkspace { agent_ids, tool_ids, definition_ids } = what;
    if agent_ids.is_empty() && tool_ids.is_empty() && definition_ids.is_empty() {
        return Err(Error::invalid("/agentIds", "too_few", "Name something to move."));
    }
    let tx = match ctx.begin_once().await? {
        Once::Replay(done) => return Ok(done),
        Once::First(tx) => tx,
    };
    tx.lock_tenant().await?;
    let open = tx.find::<Entity>().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_null());
    if open.one().await?.is_none_or(|row| to.is_some() && row.archived_at.is_some()) {
        return Err(archived());
    }
    let places = (id, to);
    let moved = MovedToWorkspace {
        workspace_id: to,
        agent_ids: place::<Agents>(ctx, &tx, agent::Column::WorkspaceId, &agent_ids, "/agentIds", places)
            .await?,
        tool_ids: place::<Tools>(ctx, &tx, tool::Column::WorkspaceId, &tool_ids, "/toolIds", places).await?,
        definition_ids: place::<TaskDefinitions>(
            ctx,
            &tx,
            task_definition::Column::WorkspaceId,
            &definition_ids,
            "/definitionIds",
            places,
        )
        .await?,
    };
    scheduled_tasks::move_of(&tx, &moved.definition_ids, to).await?;
    batch_tasks::move_of(&tx, &moved.definition_ids, to).await?;
    tx.execute(HOOKS_FOLLOW, Vec::new()).await?;
    if !tx.query(CROSSING, Vec::new()).await?.is_empty() {
        let message =
            "Something that is moved uses, or is used by, what would belong to another place: move it along.";
        return Err(Error::conflict("other_workspace", message));
    }
    tx.finish(Change::of::<Entity>(id).with(json!(moved)), &moved).await?;
    Ok(moved)
}

/// Gives the rows their new workspace; the answer has the ids of those that had another.
async fn place<R: Resource>(
    ctx: &Ctx,
    tx: &TenantTx,
    column: <R::Entity as sea_orm::EntityTrait>::Column,
    ids: &[Uuid],
    pointer: &str,
    (workspace, to): (Uuid, Option<Uuid>),
) -> Result<Vec<Uuid>> {
    let mut query =
        tx.find::<R::Entity>().filter(<R::Entity as entity::scope::TenantOwned>::ID.is_in(ids.to_vec()));
    if let Some(deleted_at) = R::Entity::DELETED_AT {
        query = query.filter(deleted_at.is_null());
    }
    let rows = query.all().await?;
    let of = |row: &_| <R::Entity as entity::scope::TenantOwned>::workspace(row);
    let is_there = |id: &Uuid| {
        let row = rows.iter().find(|row| R::Entity::id(row) == *id);
        row.is_some_and(|row| to.is_some() || of(row) == Some(workspace))
    };
    let missing = |(index, _): (usize, &Uuid)| {
        let message = format!("There is no such {}.", <R::Entity as entity::scope::TenantOwned>::KIND);
        FieldError::new(format!("{pointer}/{index}"), "not_found", message)
    };
    let errors: Vec<_> = ids.iter().enumerate().filter(|(_, id)| !is_there(id)).map(missing).collect();
    if !errors.is_empty() {
        return Err(Error::Invalid { errors });
    }
    let mut moved = Vec::new();
    for row in rows {
        ctx.view.require(of(&row))?;
        if of(&row) == to {
            continue;
        }
        let mut changes = <<R::Entity as sea_orm::EntityTrait>::ActiveModel as ActiveModelTrait>::default();
        changes.set(column, to.into());
        let (id, revision) = (R::Entity::id(&row), R::Entity::revision(&row));
        let written = crud::write::<R>(ctx, tx, id, revision, changes).await?;
        written.ok_or_else(|| {
            Error::conflict("concurrent_update", "What is moved is being changed: try again.")
        })?;
        moved.push(id);
    }
    Ok(moved)
}
