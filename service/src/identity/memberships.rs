//! Who belongs to the current tenant, with which role.
//!
//! Invariants: nobody gives a role that holds more than they may do themselves, nor changes who has
//! such a role; a tenant keeps an active owner; adding a person tells nothing about whether the
//! platform knew them.

mod changes;
mod mine;

use chrono::{DateTime, Utc};
use entity::identity::app_user::{self, PlatformRole};
use entity::identity::membership::{Column, Entity, MembershipStatus, Model, Role};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DbErr, IntoActiveModel as _,
    Iterable as _, Order,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::tenant_limits::{self, Quota};
use super::users::{self, NewUser, Vouched};
use crate::core::Core;
use crate::crud::{self, Once, Page, Paging, page};
use crate::ctx::Ctx;
use crate::db::{Reason, TenantTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::notifications::notify::MOST_RECIPIENTS;

pub use changes::{UpdateMembership, delete, update};
pub(crate) use mine::accept_row;
pub use mine::{MyMembershipPage, MyMembershipView, accept, list_mine};

/// A person's place in the tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MembershipView {
    pub id: Uuid,
    /// Null until the person has accepted.
    #[schema(required)]
    pub user_id: Option<Uuid>,
    #[schema(example = "grace@example.org")]
    pub email: String,
    /// Null until the person has accepted.
    #[schema(required)]
    pub name: Option<String>,
    pub role: Role,
    pub status: MembershipStatus,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(MembershipPage, MembershipView);

impl MembershipView {
    /// An invited person is shown as they were invited: anything else would tell whether the platform
    /// knew them before.
    fn of(row: Model, user: &app_user::Model) -> Self {
        let Model { tenant_id: _, id, user_id, role, status, revision, created_at, updated_at } = row;
        let is_shown = status != MembershipStatus::Invited;
        Self {
            id,
            user_id: is_shown.then_some(user_id),
            email: user.email.clone(),
            name: user.name.clone().filter(|_| is_shown),
            role,
            status,
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateMembership {
    #[validate(email, length(max = 254))]
    #[schema(format = Email, max_length = 254, example = "grace@example.org")]
    pub email: String,
    #[serde(default = "operator")]
    #[schema(default = "OPERATOR")]
    pub role: Role,
    /// The name of a person who is new to the platform.
    #[serde(default)]
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Grace Hopper")]
    pub name: Option<String>,
    /// The first password of a person who is new to the platform; one who is not keeps their own.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 128)]
    pub password: Option<SecretString>,
}

fn operator() -> Role {
    Role::Operator
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct MembershipFilter {
    pub role: Option<Role>,
    pub status: Option<MembershipStatus>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &MembershipFilter) -> Result<Page<MembershipView>> {
    let condition = Condition::all()
        .add_option(filter.role.map(|role| Column::Role.eq(role)))
        .add_option(filter.status.map(|status| Column::Status.eq(status)));
    let rows = crud::rows::<Entity>(ctx, paging, condition).await?;
    let ids = rows.data.iter().map(|row| row.user_id).collect();
    let people = users::by_ids(ctx.core.db.system(Reason::People).connection(), ids).await?;
    let Page { data, next_cursor, has_more, total } = rows;
    let show = |row: Model| people.get(&row.user_id).map(|user| MembershipView::of(row, user));
    Ok(Page { data: data.into_iter().filter_map(show).collect(), next_cursor, has_more, total })
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<MembershipView> {
    let row = ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("membership"))?;
    view(ctx.core.db.system(Reason::People).connection(), row).await
}

async fn view(db: &impl ConnectionTrait, row: Model) -> Result<MembershipView> {
    let user = users::by_id(db, row.user_id).await?;
    let user = user.ok_or_else(|| Error::internal("a membership without a person"))?;
    Ok(MembershipView::of(row, &user))
}

/// Invites a person. Known to the platform or not, the answer is the same; who is new gets the given
/// name and password, and accepts by signing in for the first time.
///
/// # Errors
/// 403 `role_above_own`, `quota_exceeded`; 409 `already_member`.
pub async fn create(ctx: &Ctx, create: CreateMembership) -> Result<MembershipView> {
    let CreateMembership { email, role, name, password } = create;
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    require_cover(ctx, role)?;
    let password_hash = match password {
        Some(password) => Some(users::hash_password(&ctx.core, "/password", password).await?),
        None => None,
    };
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    tenant_limits::admit(ctx, &tx, Quota::Members).await?;
    let user = NewUser {
        email: users::fold_email(&email),
        name,
        password_hash,
        tenant: ctx.tenant,
        platform_role: PlatformRole::Member,
        vouched: Vouched::ByNobody,
    };
    let (user, _) = users::find_or_create(&ctx.core, tx.system(Reason::People), user).await?;
    let taken = Error::conflict("already_member", "This person already belongs to the tenant.");
    let row = row(&ctx.core, ctx.tenant, user.id, role, MembershipStatus::Invited);
    let row = tx.insert::<Entity>(row).await.map_err(on_violation(Violation::Unique, taken))?;
    let view = MembershipView::of(row, &user);
    tx.finish(Change::created::<Entity>(view.id, &view), &view).await?;
    Ok(view)
}

/// A place that needs no acceptance: an owner's in the tenant made for them.
pub(super) async fn insert_active(
    core: &Core,
    transaction: &impl ConnectionTrait,
    tenant: Uuid,
    user: Uuid,
    role: Role,
) -> Result<(), DbErr> {
    let row = row(core, tenant, user, role, MembershipStatus::Active);
    row.into_active_model().reset_all().insert(transaction).await.map(|_| ())
}

fn row(core: &Core, tenant: Uuid, user: Uuid, role: Role, status: MembershipStatus) -> Model {
    let now = core.clock.now();
    let id = core.ids.next();
    Model {
        tenant_id: tenant,
        id,
        user_id: user,
        role,
        status,
        revision: 1,
        created_at: now,
        updated_at: now,
    }
}

/// The active members with this role or a higher one, the longest first, as many as can be told of one thing.
pub(super) async fn with_role(tx: &TenantTx, least: Role) -> Result<Vec<Uuid>> {
    let roles = Role::iter().filter(|role| *role >= least);
    let found = tx
        .everywhere::<Entity>()
        .filter(Column::Role.is_in(roles))
        .filter(Column::Status.eq(MembershipStatus::Active))
        .order_by(Column::Id, Order::Asc)
        .limit(MOST_RECIPIENTS as u64)
        .all()
        .await?;
    Ok(found.into_iter().map(|place| place.user_id).collect())
}

pub(super) fn require_cover(ctx: &Ctx, role: Role) -> Result<()> {
    if ctx.rights.cover(role) {
        return Ok(());
    }
    Err(Error::denied("role_above_own", "This role may do more than you may."))
}
