//! Barring a person from everything, and letting them in again.
//!
//! Invariant: a tenant keeps an owner who may act. A person who is barred has no session and no key left;
//! approvals belong to no person, so the others of their tenants decide what waits.

use serde_json::json;
use uuid::Uuid;

use super::{UserView, by_id, is_gone};
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::me::departure::{end_credentials, is_last_owner, lock_tenants};
use crate::identity::tenants::within;
use crate::notifications::mails::{self, Letter};

const DEACTIVATE: &str = "UPDATE app_user SET is_active = $3, deactivated_at = $2, updated_at = $2,
    revision = revision + 1 WHERE id = $1 AND is_active";
const REACTIVATE: &str = "UPDATE app_user SET is_active = $3, deactivated_at = NULL, updated_at = $2,
    revision = revision + 1 WHERE id = $1 AND deactivated_at IS NOT NULL";

/// Ends every session and key of the person, on every node within a second, and lets them start no new one.
/// Their memberships stay. Again, it changes nothing.
///
/// # Errors
/// 404; 409 `own_account`, `last_owner`.
pub async fn deactivate(ctx: &Ctx, id: Uuid) -> Result<UserView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    if ctx.actor.user() == Some(id) {
        let message = "This is your own account: another administrator has to do this.";
        return Err(Error::conflict("own_account", message));
    }
    let now = ctx.core.clock.now();
    let tx = ctx.core.db.system(Reason::People).begin().await?;
    let tenants = lock_tenants(&tx, id).await?;
    let user = known(&tx, id).await?;
    let is_new = user.is_active;
    if is_new {
        if is_last_owner(&tx, id).await? {
            let message = "This is the last owner of a tenant: make somebody else one first.";
            return Err(Error::conflict("last_owner", message));
        }
        tx.execute(DEACTIVATE, vec![id.into(), now.into(), false.into()]).await?;
        end_credentials(&tx, id, now).await?;
        mails::queue(&ctx.core, tx.connection(), &user.email, &Letter::AccountDeactivated).await?;
    }
    finish(ctx, tx, id, is_new.then_some(tenants)).await
}

/// Lets the person sign in again; what had ended stays so. Again, it changes nothing.
///
/// # Errors
/// 404.
pub async fn reactivate(ctx: &Ctx, id: Uuid) -> Result<UserView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let now = ctx.core.clock.now();
    let tx = ctx.core.db.system(Reason::People).begin().await?;
    let tenants = lock_tenants(&tx, id).await?;
    let user = known(&tx, id).await?;
    let is_new = tx.execute(REACTIVATE, vec![id.into(), now.into(), true.into()]).await?.rows_affected() > 0;
    if is_new {
        mails::queue(&ctx.core, tx.connection(), &user.email, &Letter::AccountReactivated).await?;
    }
    finish(ctx, tx, id, is_new.then_some(tenants)).await
}

async fn known(tx: &SystemTx, id: Uuid) -> Result<UserView> {
    let user = by_id(tx.connection(), id).await?.filter(|user| !is_gone(user));
    user.map(Into::into).ok_or(Error::not_found("user"))
}

/// Where something changed, each of the person's tenants is told; where they have none, the caller's.
async fn finish(ctx: &Ctx, tx: SystemTx, id: Uuid, told: Option<Vec<Uuid>>) -> Result<UserView> {
    let user = known(&tx, id).await?;
    ctx.keep_answer(&tx, &user).await?;
    let told = told.map(|tenants| if tenants.is_empty() { vec![ctx.tenant] } else { tenants });
    for tenant in told.into_iter().flatten() {
        let change = Change::to("user", id).with(json!({ "deactivated": !user.is_active }));
        let _recorded = within(ctx, tenant).record(tx.connection(), change).await?;
    }
    tx.commit().await?;
    ctx.core.principals.clear();
    Ok(user)
}
