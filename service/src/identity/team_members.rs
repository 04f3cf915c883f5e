//! Who works in a workspace, as what.
//!
//! Invariants: a role in a team is no more than the membership's, when it is given and whenever it is used;
//! nobody gives a role that holds more than they may do themselves, nor changes who has such a role; who leaves
//! the tenant leaves its teams.

use chrono::{DateTime, Utc};
use entity::identity::membership::{self, MembershipStatus, Role};
use entity::identity::team_invite;
use entity::identity::team_member::{ActiveModel, Availability, Column, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveEnum as _, ColumnTrait as _, Condition, ConnectionTrait};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::openapi::Type;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::memberships::require_cover;
use super::workspaces::Workspaces;
use crate::core::Core;
use crate::crud::{self, Expected, Once, Page, Paging, Resource, document, page, patch};
use crate::ctx::Ctx;
use crate::db::{Store, SystemTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// People of one team.
const MOST: u64 = 1000;
const LONGEST_SKILL: usize = 64;

/// A person's place in the team of a workspace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamMemberView {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub user_id: Uuid,
    /// In the workspace the person may do what this role and their membership's both allow.
    pub role: Role,
    #[schema(example = json!(["billing", "German"]))]
    pub skills: Vec<String>,
    pub availability: Availability,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(TeamMemberPage, TeamMemberView);

impl From<Model> for TeamMemberView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            user_id,
            role,
            skills,
            availability,
            revision,
            created_at,
            updated_at,
        } = row;
        let skills = document::read(skills);
        Self { id, workspace_id, user_id, role, skills, availability, revision, created_at, updated_at }
    }
}

fn skills() -> Array {
    let skill = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(64));
    ArrayBuilder::new().items(skill).max_items(Some(50)).build()
}

fn valid_skills(skills: &[String]) -> Result<(), ValidationError> {
    if skills.iter().all(|skill| (1..=LONGEST_SKILL).contains(&skill.chars().count())) {
        return Ok(());
    }
    Err(ValidationError::new("length").with_message("must hold texts of 1 to 64 characters".into()))
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTeamMember {
    pub workspace_id: Uuid,
    /// A member of the tenant.
    pub user_id: Uuid,
    /// At most the membership's, which it is when absent.
    #[serde(default)]
    pub role: Option<Role>,
    #[serde(default)]
    #[validate(length(max = 50), custom(function = "valid_skills"))]
    #[schema(schema_with = skills)]
    pub skills: Vec<String>,
    #[serde(default = "available")]
    #[schema(default = "AVAILABLE")]
    pub availability: Availability,
}

fn available() -> Availability {
    Availability::Available
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTeamMember {
    /// At most the membership's.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub role: Option<Role>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(max = 50), custom(function = "valid_skills"))]
    #[schema(schema_with = skills)]
    pub skills: Option<Vec<String>>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub availability: Option<Availability>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TeamMemberFilter {
    pub workspace_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub role: Option<Role>,
    pub availability: Option<Availability>,
}

pub struct TeamMembers;

impl Resource for TeamMembers {
    type Entity = Entity;
    type View = TeamMemberView;

    fn taken() -> Error {
        Error::conflict("already_in_team", "This person belongs to the team already.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &TeamMemberFilter) -> Result<Page<TeamMemberView>> {
    let TeamMemberFilter { workspace_id, user_id, role, availability } = filter;
    let condition = Condition::all()
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)))
        .add_option(user_id.map(|id| Column::UserId.eq(id)))
        .add_option(role.map(|role| Column::Role.eq(role)))
        .add_option(availability.map(|availability| Column::Availability.eq(availability)));
    crud::list::<TeamMembers>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TeamMemberView> {
    crud::get::<TeamMembers>(ctx, id).await
}

/// # Errors
/// 403 `role_above_own`; 409 `already_in_team`, `too_many_team_members`; 422 at `/workspaceId`, `/userId`,
/// `/role`.
pub async fn create(ctx: &Ctx, create: CreateTeamMember) -> Result<TeamMemberView> {
    if let Some(view) = ctx.replay().await? {
        return Ok(view);
    }
    let CreateTeamMember { workspace_id, user_id, role, skills, availability } = create;
    crud::load_named::<Workspaces>(ctx, workspace_id, "/workspaceId").await?;
    let now = ctx.core.clock.now();
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    tx.lock_tenant().await?;
    let place = place(&tx, user_id).await?;
    let missing = || Error::invalid("/userId", "not_found", "There is no such member.");
    let role = within(role, place.ok_or_else(missing)?.role)?;
    require_cover(ctx, role)?;
    let team = tx.everywhere::<Entity>().filter(Column::WorkspaceId.eq(workspace_id));
    if team.count(MOST).await? >= MOST {
        let message = format!("A team has at most {MOST} people.");
        return Err(Error::conflict("too_many_team_members", message));
    }
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id,
        user_id,
        role,
        skills: document::stored(&skills)?,
        availability,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row =
        tx.insert::<Entity>(row).await.map_err(on_violation(Violation::Unique, TeamMembers::taken()))?;
    let view = TeamMemberView::from(row);
    tx.finish(Change::created::<Entity>(view.id, &view), &view).await?;
    ctx.core.principals.clear();
    Ok(view)
}

/// # Errors
/// 403 `role_above_own`; 422 at `/role`.
pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    update: UpdateTeamMember,
) -> Result<TeamMemberView> {
    let UpdateTeamMember { role, skills, availability } = update;
    let row = crud::load::<TeamMembers>(ctx, id).await?;
    if let Some(role) = role {
        let place = place(&ctx.db(), row.user_id).await?;
        within(Some(role), place.map_or(Role::Viewer, |place| place.role))?;
    }
    require_cover(ctx, role.unwrap_or(row.role).max(row.role))?;
    let view = crud::update::<TeamMembers>(ctx, id, expected, |row| {
        let mut changes = ActiveModel::default();
        if let Some(role) = role.filter(|role| *role != row.role) {
            changes.role = Set(role);
        }
        if let Some(skills) = &skills {
            let skills = document::stored(skills)?;
            if skills != row.skills {
                changes.skills = Set(skills);
            }
        }
        if let Some(availability) = availability.filter(|availability| *availability != row.availability) {
            changes.availability = Set(availability);
        }
        Ok(changes)
    })
    .await?;
    ctx.core.principals.clear();
    Ok(view)
}

/// # Errors
/// 403 `role_above_own`.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    require_cover(ctx, crud::load::<TeamMembers>(ctx, id).await?.role)?;
    crud::delete::<TeamMembers>(ctx, id, expected).await?;
    ctx.core.principals.clear();
    Ok(())
}

/// The workspaces of an invitation that are still there and to whose teams who invited may still add people.
const INVITED: &str = "SELECT w.id FROM workspace w WHERE w.tenant_id = $1 AND w.deleted_at IS NULL AND ($2 \
     OR (w.isolation = 'SHARED' AND NOT EXISTS (SELECT 1 FROM team_member m WHERE m.tenant_id = w.tenant_id \
         AND m.workspace_id = w.id AND m.user_id = $3 AND m.role IN ('VIEWER', 'OPERATOR'))) \
     OR EXISTS (SELECT 1 FROM team_member m WHERE m.tenant_id = w.tenant_id AND m.workspace_id = w.id \
         AND m.user_id = $3 AND m.role NOT IN ('VIEWER', 'OPERATOR')))";
const JOIN: &str = "INSERT INTO team_member (tenant_id, id, workspace_id, user_id, role, skills, availability, \
     revision, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8) ON CONFLICT DO NOTHING";

/// Adds who accepts an invitation to the teams that it offers, with its role. The answer has those joined.
pub(super) async fn join_invited(
    core: &Core,
    tx: &SystemTx,
    invite: &team_invite::Model,
    inviter: Role,
    user: Uuid,
) -> Result<Vec<Uuid>> {
    let offered: Vec<Uuid> = document::read(invite.workspace_ids.clone());
    if offered.is_empty() || inviter < Role::Manager {
        return Ok(Vec::new());
    }
    let (tenant, now) = (invite.tenant_id, core.clock.now());
    let values = vec![tenant.into(), (inviter >= Role::Admin).into(), invite.invited_by.into()];
    let mut joined = Vec::new();
    for row in tx.query(INVITED, values).await? {
        let id: Uuid = row.try_get("", "id")?;
        if !offered.contains(&id) {
            continue;
        }
        let values = vec![
            tenant.into(),
            core.ids.next().into(),
            id.into(),
            user.into(),
            invite.role.to_value().into(),
            json!([]).into(),
            Availability::Available.to_value().into(),
            now.into(),
        ];
        tx.execute(JOIN, values).await?;
        joined.push(id);
    }
    Ok(joined)
}

/// The person's place in the tenant; an invitation that they did not accept is none.
async fn place<C: ConnectionTrait>(store: &Store<C>, user: Uuid) -> Result<Option<membership::Model>> {
    let place = store.find::<membership::Entity>().filter(membership::Column::UserId.eq(user));
    place.filter(membership::Column::Status.ne(MembershipStatus::Invited)).one().await
}

fn within(role: Option<Role>, membership: Role) -> Result<Role> {
    match role {
        None => Ok(membership),
        Some(role) if role <= membership => Ok(role),
        Some(_) => {
            Err(Error::invalid("/role", "above_membership", "must be no more than the membership's role"))
        }
    }
}
