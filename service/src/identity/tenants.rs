//! Tenants: those of the platform, for its administrators, and the caller's own.

mod lifecycle;
mod settings;
mod views;

use entity::governance::tenant_erasure;
use entity::identity::app_user::PlatformRole;
use entity::identity::membership::Role;
use entity::identity::tenant::{Entity, Model, Plan, TenantStatus};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _,
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use uuid::Uuid;

use super::memberships;
use super::users::{self, NewUser, Vouched};
use crate::auth::passwords;
use crate::auth::rights::Rights;
use crate::core::Core;
use crate::crud::{self, Expected, Once, Page, Paging, Resource};
use crate::ctx::Ctx;
use crate::db::{Reason, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

pub use lifecycle::{
    CloseOwnTenant, CloseTenant, SuspendTenant, close, close_own, reopen, reopen_own, resume, suspend,
};
pub use settings::{TenantSettings, Theme};
pub use views::{
    CreateTenant, CreatedTenant, NewOwner, OwnerView, TenantPage, TenantView, UpdateOwnTenant, UpdateTenant,
};

const RETENTION_DAYS: i32 = 365;

pub struct Tenants;

impl Resource for Tenants {
    type Entity = Entity;
    type View = TenantView;

    fn taken() -> Error {
        Error::conflict("domain_taken", "Another tenant has this domain.")
    }
}

/// All tenants of the platform.
pub async fn list(ctx: &Ctx, paging: &Paging) -> Result<Page<TenantView>> {
    let system = ctx.core.db.system(Reason::Platform);
    let rows = crud::rows_of(ctx, paging, Condition::all(), || system.find::<Entity>()).await?;
    Ok(rows.map(Into::into))
}

/// Any tenant of the platform.
pub async fn get(ctx: &Ctx, id: Uuid) -> Result<TenantView> {
    crud::get::<Tenants>(&within(ctx, id), id).await
}

pub async fn get_own(ctx: &Ctx) -> Result<TenantView> {
    crud::get::<Tenants>(ctx, ctx.tenant).await
}

/// Makes a tenant and its owner: the person with that e-mail, else a new one, for whom the platform
/// vouches.
///
/// # Errors
/// 409 `slug_taken`, `owner_unverified`; 422 at `/owner/password`.
pub async fn create(ctx: &Ctx, create: CreateTenant) -> Result<CreatedTenant> {
    let CreateTenant { name, slug, plan, owner: NewOwner { email, name: owner_name, password } } = create;
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let core = &ctx.core;
    let email = users::fold_email(&email);
    let known = users::by_email(core.db.system(Reason::Platform).connection(), &email).await?;
    let made = (password.is_none() && known.is_none()).then(|| passwords::generate(&core.ids));
    let password_hash = match password.or_else(|| made.clone()) {
        Some(password) => Some(users::hash_password(core, "/owner/password", password).await?),
        None => None,
    };
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let whole = tx.system(Reason::Platform);
    let tenant = insert(whole, Model { plan, ..row(core, &name, &slug) }).await?;
    let owner = NewUser {
        email,
        name: owner_name,
        password_hash,
        tenant: tenant.id,
        platform_role: PlatformRole::Member,
        vouched: Vouched::ByPlatform,
    };
    let (owner, is_new) = users::find_or_create(core, whole, owner).await?;
    if owner.email_verified_at.is_none() || owner.password_hash.is_none() {
        let message = "Another tenant made this person and nobody verified their e-mail: name another owner.";
        return Err(Error::conflict("owner_unverified", message));
    }
    memberships::insert_active(core, whole, tenant.id, owner.id, Role::Owner).await?;
    let created = CreatedTenant {
        tenant: tenant.into(),
        owner: OwnerView { user_id: owner.id, email: owner.email, is_new },
        owner_password: made.filter(|_| is_new).map(|password| password.expose_secret().to_owned()),
    };
    let change = Change::created::<Entity>(created.tenant.id, &created.tenant);
    tx.finish_within(&within(ctx, created.tenant.id), change, &created).await?;
    Ok(created)
}

/// Changes any tenant of the platform.
///
/// # Errors
/// 409 `domain_taken`; 422.
pub async fn update(ctx: &Ctx, id: Uuid, expected: Expected, update: UpdateTenant) -> Result<TenantView> {
    update.check()?;
    let view = crud::update::<Tenants>(&within(ctx, id), id, expected, |row| update.apply(row)).await?;
    ctx.core.principals.clear();
    ctx.core.engine.admission().forget(id);
    Ok(view)
}

/// Changes the caller's own tenant.
///
/// # Errors
/// 422, at `/dataRetentionDays` `above_ceiling` for more than the plan allows.
pub async fn update_own(ctx: &Ctx, expected: Expected, update: UpdateOwnTenant) -> Result<TenantView> {
    update.check()?;
    let plans = &ctx.core.config.plans;
    crud::update::<Tenants>(ctx, ctx.tenant, expected, |row| update.apply(row, plans.of(row.plan))).await
}

/// A row of a new tenant.
pub(super) fn row(core: &Core, name: &str, slug: &str) -> Model {
    let now = core.clock.now();
    Model {
        id: core.ids.next(),
        name: name.to_owned(),
        slug: slug.to_owned(),
        domain: None,
        logo_url: None,
        plan: Plan::Free,
        status: TenantStatus::Active,
        status_reason: None,
        closed_at: None,
        closed_by: None,
        closed_from: None,
        erase_at: None,
        stopped_at: None,
        stopped_by: None,
        stop_reason: None,
        settings: json!({}),
        data_retention_days: RETENTION_DAYS,
        revision: 1,
        created_at: now,
        updated_at: now,
    }
}

/// A slug is one tenant's for ever, also when that tenant is erased: its receipt is there before its row goes.
#[expect(clippy::disallowed_methods, reason = "a tenant is made before it is a scope")]
pub(super) async fn insert(transaction: &impl ConnectionTrait, row: Model) -> Result<Model> {
    let taken = || Error::conflict("slug_taken", "Another tenant has this slug.");
    let row = row.into_active_model().reset_all();
    let row = row.insert(transaction).await.map_err(on_violation(Violation::Unique, taken()))?;
    let former = tenant_erasure::Entity::find().filter(tenant_erasure::Column::Slug.eq(row.slug.as_str()));
    match former.one(transaction).await? {
        Some(_) => Err(taken()),
        None => Ok(row),
    }
}

/// A platform administrator's context in the tenant they name, where they have no role of their own.
pub(super) fn within(ctx: &Ctx, tenant: Uuid) -> Ctx {
    let rights = Rights { role: None, ..ctx.rights.clone() };
    Ctx { tenant, rights, ..ctx.clone() }
}
