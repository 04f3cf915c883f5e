//! Which tenant a person enters.

use entity::identity::app_user::{self, PlatformRole};
use entity::identity::membership::{self, Column, Entity, MembershipStatus};
use entity::identity::tenant;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, Order, QueryFilter as _};
use uuid::Uuid;

use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::identity::{memberships, users};

/// More memberships than this a person may have, but not enter without naming the tenant.
const LOOKED_AT: u64 = 1000;

/// The tenant of a new session, whose invitation is accepted where there is one.
///
/// # Errors
/// As [`find`].
pub async fn open(
    core: &Core,
    request: &RequestInfo,
    user: &app_user::Model,
    wanted: Option<Uuid>,
) -> Result<Uuid> {
    match find(core, user, wanted).await? {
        Place::In(tenant) => Ok(tenant),
        Place::Invited(place) => {
            memberships::accept_row(core, request, &place).await?;
            Ok(place.tenant_id)
        }
    }
}

/// Where a person may enter.
pub enum Place {
    In(Uuid),
    /// By accepting this invitation.
    Invited(membership::Model),
}

/// The tenant of a new session: the one named, else the default tenant, else the first joined.
///
/// A person who belongs nowhere yet accepts their oldest invitation by signing in, because nobody who
/// is not signed in can accept one. An administrator of the platform who belongs nowhere enters their
/// default tenant or the oldest one, where they have no role: only the platform's own rights remain.
///
/// # Errors
/// 403 `no_membership`, the same whether or not the tenant exists; 403 `email_unverified`.
pub async fn find(core: &Core, user: &app_user::Model, wanted: Option<Uuid>) -> Result<Place> {
    let system = core.db.system(Reason::SignIn);
    if let Some(tenant) = wanted
        && is_member(system.connection(), user.id, tenant).await?
    {
        return Ok(Place::In(tenant));
    }
    let places = system
        .find::<Entity>()
        .filter(Column::UserId.eq(user.id))
        .order_by(Column::Id, Order::Asc)
        .limit(LOOKED_AT)
        .all()
        .await?;
    let mut active =
        places.iter().filter(|place| place.status == MembershipStatus::Active).map(|place| place.tenant_id);
    if wanted.is_none() {
        let home = user.tenant_id.filter(|home| active.clone().any(|tenant| tenant == *home));
        if let Some(tenant) = home.or_else(|| active.clone().next()) {
            return Ok(Place::In(tenant));
        }
    }
    let mut invited = places.iter().filter(|place| {
        place.status == MembershipStatus::Invited && wanted.is_none_or(|tenant| tenant == place.tenant_id)
    });
    let joinable = |place: &&membership::Model| users::require_may_join(user, place.tenant_id).is_ok();
    let first = invited.clone().find(joinable).or_else(|| invited.next());
    if let Some(invited) = first.filter(|_| active.next().is_none()) {
        users::require_may_join(user, invited.tenant_id)?;
        return Ok(Place::Invited(invited.clone()));
    }
    if wanted.is_none() && user.platform_role == PlatformRole::Admin {
        let tenant = match user.tenant_id {
            Some(home) => home,
            None => oldest(core).await?.ok_or_else(no_membership)?,
        };
        return Ok(Place::In(tenant));
    }
    Err(no_membership())
}

/// Lets a session that is in `current` go on in `tenant`, within the transaction that does so.
///
/// # Errors
/// 403 `no_membership`.
pub async fn go_on(
    transaction: &impl ConnectionTrait,
    user: &app_user::Model,
    current: Uuid,
    tenant: Uuid,
) -> Result<()> {
    let stays_as_admin = user.platform_role == PlatformRole::Admin && tenant == current;
    if stays_as_admin || is_member(transaction, user.id, tenant).await? {
        Ok(())
    } else {
        Err(no_membership())
    }
}

#[expect(clippy::disallowed_methods, reason = "a tenant is entered before it is a scope")]
pub(in crate::identity) async fn is_member(
    db: &impl ConnectionTrait,
    user: Uuid,
    tenant: Uuid,
) -> Result<bool> {
    let found = Entity::find()
        .filter(Column::TenantId.eq(tenant))
        .filter(Column::UserId.eq(user))
        .filter(Column::Status.eq(MembershipStatus::Active))
        .one(db)
        .await?;
    Ok(found.is_some())
}

async fn oldest(core: &Core) -> Result<Option<Uuid>> {
    let system = core.db.system(Reason::SignIn);
    let found =
        system.find::<tenant::Entity>().order_by(tenant::Column::Id, Order::Asc).limit(1).one().await?;
    Ok(found.map(|tenant| tenant.id))
}

fn no_membership() -> Error {
    Error::denied("no_membership", "You have no active membership in that tenant.")
}
