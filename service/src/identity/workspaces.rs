//! Workspaces: projects inside a tenant, which agents, tools, definitions and keys may belong to.
//!
//! Invariants: what belongs to a workspace uses what belongs to it or to the tenant, so that who sees the one
//! sees the other; nothing is made in an archived workspace or run from it; one that is deleted is empty.

mod transfer;
mod views;

use entity::agents::{agent, tool};
use entity::identity::membership::Role;
use entity::identity::team_member::{self, Availability};
use entity::identity::workspace::{ActiveModel, Column, Entity, Isolation, Model};
use entity::scope::Record;
use entity::tasks::task_definition;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition};
use serde_json::json;
use uuid::Uuid;

use super::api_keys;
use crate::crud::{self, Expected, Once, Page, Paging, Resource, metadata, slug};
use crate::ctx::Ctx;
use crate::db::{TenantDb, TenantTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::tasks::{batch_tasks, scheduled_tasks};

pub use transfer::{MoveToWorkspace, MovedToWorkspace, release, transfer};
pub use views::{CreateWorkspace, UpdateWorkspace, WorkspaceFilter, WorkspacePage, WorkspaceView};

/// Workspaces of a tenant, and deleted ones of which runs are left.
const MOST: i64 = 200;
/// STRICT ones that were deleted: what is left of each stays hidden, so every caller's sight names it.
const MOST_BURIED: i64 = 2_000;
const COUNT: &str = "SELECT COUNT(CASE WHEN deleted_at IS NULL THEN 1 END) AS kept, \
     COUNT(CASE WHEN deleted_at IS NOT NULL AND isolation = 'STRICT' THEN 1 END) AS buried \
     FROM workspace WHERE tenant_id = $1";

pub struct Workspaces;

impl Resource for Workspaces {
    type Entity = Entity;
    type View = WorkspaceView;

    fn taken() -> Error {
        Error::conflict("slug_taken", "A workspace with this slug exists.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &WorkspaceFilter) -> Result<Page<WorkspaceView>> {
    let WorkspaceFilter { slug, isolation, archived } = filter;
    let archived = archived.map(|archived| match archived {
        true => Column::ArchivedAt.is_not_null(),
        false => Column::ArchivedAt.is_null(),
    });
    let condition = Condition::all()
        .add_option(slug.as_deref().map(|slug| Column::Slug.eq(slug)))
        .add_option(isolation.map(|isolation| Column::Isolation.eq(isolation)))
        .add_option(archived);
    crud::list::<Workspaces>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<WorkspaceView> {
    crud::get::<Workspaces>(ctx, id).await
}

/// The caller is the first of its team.
///
/// # Errors
/// 409 `slug_taken`, `too_many_workspaces`.
pub async fn create(ctx: &Ctx, create: CreateWorkspace) -> Result<WorkspaceView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    let CreateWorkspace { name, slug, isolation, settings, metadata } = create;
    let (id, now) = (ctx.core.ids.next(), ctx.core.clock.now());
    let slug = match slug {
        Some(slug) => slug,
        None => slug::free::<Entity>(ctx, Column::Slug, &name, id, "workspace").await?,
    };
    let row = Model {
        tenant_id: ctx.tenant,
        id,
        name,
        slug,
        isolation,
        settings: views::bounded(settings.into())?,
        archived_at: None,
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
    tx.lock_tenant().await?;
    require_room(&tx, isolation).await?;
    let row = tx.insert::<Entity>(row).await.map_err(on_violation(Violation::Unique, Workspaces::taken()))?;
    join(ctx, &tx, id).await?;
    let view = WorkspaceView::from(row);
    tx.finish(Change::created::<Entity>(id, &view), &view).await?;
    ctx.core.principals.clear();
    Ok(view)
}

async fn require_room(tx: &TenantTx, isolation: Isolation) -> Result<()> {
    let counted = tx.query(COUNT, Vec::new()).await?;
    let count = |column| counted.first().map_or(Ok(0), |row| row.try_get::<i64>("", column));
    if count("kept")? >= MOST {
        let message = format!("A tenant has at most {MOST} workspaces: delete some first.");
        return Err(Error::conflict("too_many_workspaces", message));
    }
    if isolation == Isolation::Strict && count("buried")? >= MOST_BURIED {
        let message = format!(
            "{MOST_BURIED} STRICT workspaces were deleted, and what is left of them stays hidden: keep one for \
             longer, or make a SHARED one."
        );
        return Err(Error::conflict("too_many_workspaces", message));
    }
    Ok(())
}

/// Puts the person behind the call into the team, with the role that they have.
async fn join(ctx: &Ctx, tx: &TenantTx, workspace: Uuid) -> Result<()> {
    let (Some(user_id), Some(role)) = (ctx.actor.user(), ctx.rights.role) else { return Ok(()) };
    let now = ctx.core.clock.now();
    tx.insert::<team_member::Entity>(team_member::Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id: workspace,
        user_id,
        role,
        skills: json!([]),
        availability: Availability::Available,
        revision: 1,
        created_at: now,
        updated_at: now,
    })
    .await?;
    Ok(())
}

/// # Errors
/// 409 `slug_taken`; `not_in_team` where the caller would make it STRICT and see it no more.
pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    update: UpdateWorkspace,
) -> Result<WorkspaceView> {
    if update.isolation == Some(Isolation::Strict) && !is_in_team(ctx, id).await? {
        let is_admin = ctx.rights.role.is_some_and(|role| role >= Role::Admin);
        crud::load::<Workspaces>(ctx, id).await?;
        if !is_admin {
            return Err(Error::conflict(
                "not_in_team",
                "Join the team first: only it will see the workspace.",
            ));
        }
    }
    let view = crud::update::<Workspaces>(ctx, id, expected, |row| update.changes(row)).await?;
    ctx.core.principals.clear();
    Ok(view)
}

async fn is_in_team(ctx: &Ctx, workspace: Uuid) -> Result<bool> {
    let Some(user) = ctx.actor.user() else { return Ok(false) };
    let db = ctx.db();
    let team = db.everywhere::<team_member::Entity>();
    let mine = team.filter(team_member::Column::WorkspaceId.eq(workspace));
    Ok(mine.filter(team_member::Column::UserId.eq(user)).one().await?.is_some())
}

/// Nothing new is made in it or run from it until it is unarchived; what runs goes on to its end. Its schedules
/// are paused until then, and its batches until they are resumed.
///
/// # Errors
/// 409 `invalid_transition`.
pub async fn archive(ctx: &Ctx, id: Uuid) -> Result<WorkspaceView> {
    set_archived(ctx, id, true).await
}

/// # Errors
/// 409 `invalid_transition`.
pub async fn unarchive(ctx: &Ctx, id: Uuid) -> Result<WorkspaceView> {
    set_archived(ctx, id, false).await
}

async fn set_archived(ctx: &Ctx, id: Uuid, archived: bool) -> Result<WorkspaceView> {
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let found = tx.get::<Entity>(id).await?.filter(|row| row.deleted_at.is_none());
    let row = found.ok_or(Error::not_found("workspace"))?;
    let before = WorkspaceView::from(row.clone());
    let is = if archived { Column::ArchivedAt.is_null() } else { Column::ArchivedAt.is_not_null() };
    let same =
        Condition::all().add(is).add(Column::DeletedAt.is_null()).add(Column::Revision.eq(row.revision));
    let now = ctx.core.clock.now();
    let changes = ActiveModel {
        archived_at: Set(archived.then_some(now)),
        revision: Set(row.revision + 1),
        updated_at: Set(now),
        ..ActiveModel::default()
    };
    let Some(row) = tx.update::<Entity>(id, same, changes).await? else {
        let state = if archived { "archived already" } else { "not archived" };
        return Err(Error::conflict("invalid_transition", format!("The workspace is {state}.")));
    };
    match archived {
        true => {
            scheduled_tasks::pause_within(&tx, id, now).await?;
            batch_tasks::pause_within(&tx, id, now).await?;
        }
        false => scheduled_tasks::resume_within(&tx, id, now).await?,
    }
    let view = WorkspaceView::from(row);
    tx.finish(Change::updated::<Entity>(id, &before, &view), &view).await?;
    ctx.core.schedules.ring();
    Ok(view)
}

/// Its team ends and its keys are revoked; its slug is free at once. What else was in it
/// stays until retention removes it, seen by nobody if it was STRICT.
///
/// # Errors
/// 409 `in_use` while agents, tools or definitions belong to it.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    let tx = ctx.db().begin().await?;
    tx.lock_tenant().await?;
    let found = tx.get::<Entity>(id).await?.filter(|row| row.deleted_at.is_none());
    let row = found.ok_or(Error::not_found("workspace"))?;
    expected.check(row.revision)?;
    let now = ctx.core.clock.now();
    let changes = ActiveModel { deleted_at: Set(Some(now)), ..ActiveModel::default() };
    // First, because what is being made in it holds the row until it is there.
    let gone = crud::write::<Workspaces>(ctx, &tx, id, row.revision, changes).await?;
    gone.ok_or_else(|| Error::conflict("concurrent_update", "The workspace is being changed: try again."))?;
    let is_used = has::<agent::Entity>(&tx, agent::Column::WorkspaceId.eq(id)).await?
        || has::<tool::Entity>(&tx, tool::Column::WorkspaceId.eq(id)).await?
        || has::<task_definition::Entity>(&tx, task_definition::Column::WorkspaceId.eq(id)).await?;
    if is_used {
        let message = "Agents, tools or task definitions belong to it: delete or move them first.";
        return Err(Error::conflict("in_use", message));
    }
    api_keys::revoke_all_within(&tx, id, now).await?;
    tx.delete::<team_member::Entity>(team_member::Column::WorkspaceId.eq(id)).await?;
    ctx.commit(tx, Change::deleted::<Entity>(id, Some(id), &WorkspaceView::from(row))).await?;
    ctx.core.principals.clear();
    Ok(())
}

async fn has<E: Record>(tx: &TenantTx, within: sea_orm::sea_query::Expr) -> Result<bool> {
    let mut live = tx.everywhere::<E>().filter(within);
    if let Some(deleted_at) = E::DELETED_AT {
        live = live.filter(deleted_at.is_null());
    }
    Ok(live.count(1).await? > 0)
}

/// The workspace that a new resource belongs to: the one named at `/workspaceId`, else that of the caller's key.
///
/// # Errors
/// 422 for one that the caller does not see; 403 where their role in it does not suffice; 409
/// `workspace_archived`.
pub(crate) async fn admit(ctx: &Ctx, named: Option<Uuid>) -> Result<Option<Uuid>> {
    let Some(id) = named.or_else(|| ctx.view.home()) else { return Ok(None) };
    let missing = || Error::invalid("/workspaceId", "not_found", "There is no such workspace.");
    if !ctx.view.sees(Some(id)) {
        return Err(missing());
    }
    let row = crud::load_named::<Workspaces>(ctx, id, "/workspaceId").await?;
    ctx.view.require(Some(id))?;
    if row.archived_at.is_some() {
        return Err(archived());
    }
    Ok(Some(id))
}

/// Checks that the caller may offer places in these teams.
///
/// # Errors
/// 422 at `/workspaceIds/N` for one that the caller does not see.
pub(super) async fn require_joinable(ctx: &Ctx, ids: &[Uuid]) -> Result<()> {
    for (index, id) in ids.iter().enumerate() {
        crud::load_named::<Workspaces>(ctx, *id, &format!("/workspaceIds/{index}")).await?;
    }
    Ok(())
}

/// # Errors
/// 409 `workspace_archived`, also for one that is gone.
pub(crate) async fn require_open(ctx: &Ctx, workspace: Option<Uuid>) -> Result<()> {
    require_open_in(&ctx.db(), workspace).await
}

/// The same for who has no context of a caller.
pub(crate) async fn require_open_in(db: &TenantDb, workspace: Option<Uuid>) -> Result<()> {
    let Some(id) = workspace else { return Ok(()) };
    let found = db.everywhere::<Entity>().filter(Column::Id.eq(id)).one().await?;
    let is_open = found.is_some_and(|row| row.archived_at.is_none() && row.deleted_at.is_none());
    if is_open { Ok(()) } else { Err(archived()) }
}

fn archived() -> Error {
    Error::conflict("workspace_archived", "The workspace is archived: nothing is made in it or run from it.")
}

/// Checks that something in the workspace `user` may use what `used` is the workspace of.
///
/// # Errors
/// 422 at `pointer`.
pub(crate) fn check_use(user: Option<Uuid>, used: Option<Uuid>, pointer: &str) -> Result<()> {
    if used.is_none() || used == user {
        return Ok(());
    }
    Err(Error::invalid(pointer, "other_workspace", "It belongs to another workspace."))
}
