//! Invitations by mail: whoever reads the address joins the tenant with the role that was offered.
//!
//! Invariants: nobody offers a role that holds more than they may do themselves, and an offer ends with
//! the right of who made it; an address has one pending invitation of a tenant, the newest; a token works
//! once. The invitation tells nothing about whether the platform knows the address.

mod acceptance;

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::identity::membership::{self, MembershipStatus, Role};
use entity::identity::team_invite::{ActiveModel, Column, Entity, InviteStatus, Model};
use entity::identity::tenant;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::memberships::require_cover;
use super::tenant_limits::{self, Quota};
use super::{users, workspaces};
use crate::auth::opaque::INVITE_TOKEN;
use crate::crud::{self, Expected, Once, Page, Paging, Resource, document, page};
use crate::ctx::Ctx;
use crate::db::{Reason, TenantTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::notifications::mails::{self, Letter};
use crate::notifications::notify::{Notice, notify};

pub(super) use acceptance::accept_verified;
pub use acceptance::{AcceptInvite, InviteToken, InviteeView, accept, decline, preview};

const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
const LIFETIME_DAYS: u32 = 7;
/// Pending ones of a tenant.
const MOST: u64 = 1000;

/// An invitation, without its token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamInviteView {
    pub id: Uuid,
    #[schema(example = "grace@example.org")]
    pub email: String,
    pub role: Role,
    /// Whose teams the person joins as well, with the same role.
    pub workspace_ids: Vec<Uuid>,
    /// A `PENDING` one cannot be accepted after `expiresAt`.
    pub status: InviteStatus,
    pub expires_at: DateTime<Utc>,
    /// The person who invites.
    pub invited_by: Uuid,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(TeamInvitePage, TeamInviteView);

impl From<Model> for TeamInviteView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            email,
            role,
            workspace_ids,
            status,
            token_hash: _,
            invited_by,
            accepted_by: _,
            expires_at,
            revision,
            created_at,
            updated_at,
        } = row;
        let workspace_ids = document::read(workspace_ids);
        Self {
            id,
            email,
            role,
            workspace_ids,
            status,
            expires_at,
            invited_by,
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTeamInvite {
    #[validate(email, length(max = 254))]
    #[schema(format = Email, max_length = 254, example = "grace@example.org")]
    pub email: String,
    #[serde(default = "operator")]
    #[schema(default = "OPERATOR")]
    pub role: Role,
    /// Whose teams the person joins as well, with the same role.
    #[serde(default)]
    #[validate(length(max = 20))]
    #[schema(max_items = 20)]
    pub workspace_ids: Vec<Uuid>,
}

fn operator() -> Role {
    Role::Operator
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct TeamInviteFilter {
    pub status: Option<InviteStatus>,
    /// The whole address, in any case.
    #[param(max_length = 254)]
    pub email: Option<String>,
}

pub struct TeamInvites;

impl Resource for TeamInvites {
    type Entity = Entity;
    type View = TeamInviteView;

    fn taken() -> Error {
        Error::conflict("concurrent_update", "The same person is being invited by others: try again.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &TeamInviteFilter) -> Result<Page<TeamInviteView>> {
    let TeamInviteFilter { status, email } = filter;
    let condition = Condition::all()
        .add_option(status.map(|status| Column::Status.eq(status)))
        .add_option(email.as_deref().map(|email| Column::Email.eq(users::fold_email(email))));
    Ok(crud::list::<TeamInvites>(ctx, paging, condition).await?.map(|view| shown(ctx, view)))
}

/// Without the workspaces that the caller does not see.
fn shown(ctx: &Ctx, mut view: TeamInviteView) -> TeamInviteView {
    view.workspace_ids.retain(|id| ctx.view.is_admin() || ctx.view.sees(Some(*id)));
    view
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TeamInviteView> {
    Ok(shown(ctx, crud::get::<TeamInvites>(ctx, id).await?))
}

/// Invites an address; an earlier invitation of it is revoked.
///
/// # Errors
/// 403 `role_above_own`, `quota_exceeded`; 409 `already_member`, `too_many_invites`.
pub async fn create(ctx: &Ctx, create: CreateTeamInvite) -> Result<TeamInviteView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateTeamInvite { email, role, mut workspace_ids } = create;
    require_cover(ctx, role)?;
    workspaces::require_joinable(ctx, &workspace_ids).await?;
    workspace_ids.sort_unstable();
    workspace_ids.dedup();
    let invited_by = ctx.actor.user().ok_or_else(|| Error::denied("person_only", "Sign in to invite."))?;
    let email = users::fold_email(&email);
    let (core, now) = (&ctx.core, ctx.core.clock.now());
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    tenant_limits::admit(ctx, &tx, Quota::Members).await?;
    refuse_member(&tx, &email).await?;
    let pending = tx.find::<Entity>().filter(Column::Status.eq(InviteStatus::Pending));
    let earlier = tx.find::<Entity>().filter(Column::Status.eq(InviteStatus::Pending));
    if pending.count(MOST).await? >= MOST {
        let message = format!("A tenant has at most {MOST} pending invitations: revoke some first.");
        return Err(Error::conflict("too_many_invites", message));
    }
    if let Some(earlier) = earlier.filter(Column::Email.eq(email.as_str())).one().await? {
        let changes = ActiveModel { status: Set(InviteStatus::Revoked), ..Default::default() };
        crud::write::<TeamInvites>(ctx, &tx, earlier.id, earlier.revision, changes).await?;
    }
    let (token, hash) = INVITE_TOKEN.generate(&core.ids);
    let row = Model {
        tenant_id: ctx.tenant,
        id: core.ids.next(),
        email,
        role,
        workspace_ids: document::stored(&workspace_ids)?,
        status: InviteStatus::Pending,
        token_hash: hash.as_bytes().to_vec(),
        invited_by,
        accepted_by: None,
        expires_at: core.clock.after(LIFETIME),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row = tx.insert::<Entity>(row).await?;
    send(ctx, &tx, &row, &token).await?;
    let view = TeamInviteView::from(row);
    tx.finish(Change::created::<Entity>(view.id, &view), &view).await?;
    Ok(view)
}

/// Sends the invitation anew, with another token and the whole time again; the old token ends.
///
/// # Errors
/// 403 `role_above_own`; 409 `invalid_transition` unless it is pending.
pub async fn resend(ctx: &Ctx, id: Uuid) -> Result<TeamInviteView> {
    let (core, now) = (&ctx.core, ctx.core.clock.now());
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let row = tx.get::<Entity>(id).await?.ok_or(Error::not_found("invitation"))?;
    require_cover(ctx, row.role)?;
    let (token, hash) = INVITE_TOKEN.generate(&core.ids);
    let changes = ActiveModel {
        token_hash: Set(hash.as_bytes().to_vec()),
        invited_by: Set(ctx.actor.user().unwrap_or(row.invited_by)),
        expires_at: Set(core.clock.after(LIFETIME)),
        revision: Set(row.revision + 1),
        updated_at: Set(now),
        ..Default::default()
    };
    let row = tx.update::<Entity>(id, Column::Status.eq(InviteStatus::Pending), changes).await?;
    let row = row.ok_or_else(not_pending)?;
    send(ctx, &tx, &row, &token).await?;
    let view = TeamInviteView::from(row);
    tx.finish(Change::of::<Entity>(id).with(serde_json::json!({ "expiresAt": view.expires_at })), &view)
        .await?;
    Ok(view)
}

/// Takes a pending invitation back.
///
/// # Errors
/// 403 `role_above_own`; 409 `invalid_transition` unless it is pending.
pub async fn revoke(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    let tx = ctx.db().begin().await?;
    let row = tx.get::<Entity>(id).await?.ok_or(Error::not_found("invitation"))?;
    expected.check(row.revision)?;
    require_cover(ctx, row.role)?;
    let changes = ActiveModel {
        status: Set(InviteStatus::Revoked),
        revision: Set(row.revision + 1),
        updated_at: Set(ctx.core.clock.now()),
        ..Default::default()
    };
    let row = tx.update::<Entity>(id, Column::Status.eq(InviteStatus::Pending), changes).await?;
    let view = TeamInviteView::from(row.ok_or_else(not_pending)?);
    ctx.commit(tx, Change::of::<Entity>(id).with(serde_json::json!({ "status": view.status }))).await
}

async fn refuse_member(tx: &TenantTx, email: &str) -> Result<()> {
    let Some(user) = users::by_email(tx.system(Reason::People), email).await? else { return Ok(()) };
    let place = tx.find::<membership::Entity>().filter(membership::Column::UserId.eq(user.id));
    let place = place.filter(membership::Column::Status.ne(MembershipStatus::Invited)).one().await?;
    match place {
        None => Ok(()),
        Some(_) => Err(Error::conflict("already_member", "This person already belongs to the tenant.")),
    }
}

async fn send(ctx: &Ctx, tx: &TenantTx, row: &Model, token: &SecretString) -> Result<()> {
    let people = tx.system(Reason::People);
    let inviter = users::by_id(people, row.invited_by).await?.and_then(|user| user.name);
    let tenant = tx.get::<tenant::Entity>(ctx.tenant).await?.ok_or(Error::not_found("tenant"))?;
    let letter = Letter::TeamInvite {
        token,
        tenant: &tenant.name,
        inviter: inviter.as_deref(),
        role: row.role,
        days: LIFETIME_DAYS,
    };
    mails::queue(&ctx.core, people, &row.email, &letter).await?;
    if let Some(known) = users::by_email(people, &row.email).await? {
        let notice = Notice::invite_received(&tenant.name, inviter.as_deref(), row.role);
        notify(&ctx.core, people, &[known.id], &notice).await?;
    }
    Ok(())
}

fn not_pending() -> Error {
    Error::conflict("invalid_transition", "The invitation is not pending any more.")
}
