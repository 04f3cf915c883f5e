//! Changing and ending memberships. Each holds the tenant's lock, so that of two owners who demote
//! each other one is the last and stays.

use entity::identity::membership::{ActiveModel, Column, Entity, MembershipStatus, Model, Role};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{MembershipView, require_cover, view};
use crate::crud::{Expected, patch};
use crate::ctx::Ctx;
use crate::db::{Reason, TenantTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::api_keys;

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateMembership {
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub role: Option<Role>,
    /// `ACTIVE` or `SUSPENDED`. Only the person invited can accept.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub status: Option<MembershipStatus>,
}

/// # Errors
/// 403 `role_above_own`; 409 `last_owner`, `not_accepted`.
pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    update: UpdateMembership,
) -> Result<MembershipView> {
    let UpdateMembership { role, status } = update;
    let tx = ctx.db().begin().await?;
    let row = load(&tx, id, expected).await?;
    let before = view(tx.system(Reason::People), row.clone()).await?;
    let (role, status) = (role.unwrap_or(row.role), status.unwrap_or(row.status));
    require_cover(ctx, role.max(row.role))?;
    if status != row.status {
        may_become(row.status, status)?;
    }
    if (role, status) == (row.role, row.status) {
        return Ok(before);
    }
    if is_active_owner(&row) && (role, status) != (Role::Owner, MembershipStatus::Active) {
        require_another_owner(&tx, id).await?;
    }
    let changes = ActiveModel {
        role: Set(role),
        status: Set(status),
        revision: Set(row.revision + 1),
        updated_at: Set(ctx.core.clock.now()),
        ..Default::default()
    };
    let written = tx.update::<Entity>(id, Column::Revision.eq(row.revision), changes).await?;
    let row = written.ok_or_else(concurrent)?;
    let view = view(tx.system(Reason::People), row).await?;
    ctx.commit(tx, Change::updated::<Entity>(id, &before, &view)).await?;
    ctx.core.principals.clear();
    Ok(view)
}

/// Ends a membership, or takes an invitation back. The person's keys in the tenant are revoked.
///
/// # Errors
/// 403 `role_above_own`; 409 `last_owner`.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    let tx = ctx.db().begin().await?;
    let row = load(&tx, id, expected).await?;
    let before = view(tx.system(Reason::People), row.clone()).await?;
    require_cover(ctx, row.role)?;
    if is_active_owner(&row) {
        require_another_owner(&tx, id).await?;
    }
    let same = Condition::all().add(Column::Id.eq(id)).add(Column::Revision.eq(row.revision));
    if tx.delete::<Entity>(same).await? == 0 {
        return Err(concurrent());
    }
    api_keys::revoke_all_of(&tx, row.user_id, ctx.core.clock.now()).await?;
    ctx.commit(tx, Change::deleted::<Entity>(id, None, &before)).await?;
    ctx.core.principals.clear();
    Ok(())
}

async fn load(tx: &TenantTx, id: Uuid, expected: Expected) -> Result<Model> {
    tx.lock_tenant().await?;
    let row = tx.get::<Entity>(id).await?.ok_or(Error::not_found("membership"))?;
    expected.check(row.revision)?;
    Ok(row)
}

fn may_become(old: MembershipStatus, new: MembershipStatus) -> Result<()> {
    match (old, new) {
        (_, MembershipStatus::Invited) => {
            Err(Error::invalid("/status", "enum", "must be ACTIVE or SUSPENDED"))
        }
        (MembershipStatus::Invited, _) => {
            Err(Error::conflict("not_accepted", "The invitation is not accepted yet: delete it instead."))
        }
        _ => Ok(()),
    }
}

fn is_active_owner(row: &Model) -> bool {
    row.role == Role::Owner && row.status == MembershipStatus::Active
}

async fn require_another_owner(tx: &TenantTx, id: Uuid) -> Result<()> {
    // One who is deactivated cannot act for the tenant.
    let sql = "SELECT m.id FROM membership m JOIN app_user u ON u.id = m.user_id
        WHERE m.tenant_id = $1 AND m.role = 'OWNER' AND m.status = 'ACTIVE' AND m.id <> $2 AND u.is_active LIMIT 1";
    if !tx.query(sql, vec![id.into()]).await?.is_empty() {
        return Ok(());
    }
    Err(Error::conflict("last_owner", "A tenant keeps an active owner: make somebody else one first."))
}

fn concurrent() -> Error {
    Error::conflict("concurrent_update", "The membership is being changed by others: try again.")
}
