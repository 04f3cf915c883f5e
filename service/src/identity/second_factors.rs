//! The second factor of people: an authenticator (TOTP), and codes for who lost it.
//!
//! Invariants: a secret counts only when a code proved that the authenticator has it; each code works
//! once; every way to sign in ends in [`challenges`] where the person has a second factor; only somebody
//! whose address is proved may have one, or who made the account could lock its owner out.
#![expect(clippy::disallowed_methods, reason = "a second factor belongs to a person, not to a tenant")]

mod challenges;
mod codes;
mod enrolment;

use chrono::{DateTime, Utc};
use entity::identity::second_factor::{Entity, Model};
use sea_orm::{ConnectionTrait, EntityTrait as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::users;
use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::error::Result;
use crate::secrets::Place;

pub(super) use challenges::issue;
pub use challenges::{ChallengeView, CompleteSignIn, SecondFactorMethod, complete};
pub use enrolment::{
    ConfirmSecondFactor, DisableSecondFactor, EnrolSecondFactor, NewRecoveryCodes, RecoveryCodesView,
    SecondFactorSecretView, confirm, disable, enrol, renew_recovery_codes,
};

const LEFT: &str = "SELECT COUNT(*) AS unused FROM recovery_code WHERE user_id = $1 AND used_at IS NULL";
const REQUIRED: &str = "SELECT id FROM sign_in_policy WHERE tenant_id = $1 AND require_second_factor";
const DUE: &str = "SELECT id FROM sign_in_policy WHERE tenant_id = $1 AND require_second_factor
    AND NOT EXISTS (SELECT 1 FROM second_factor f WHERE f.id = $2 AND f.confirmed_at IS NOT NULL)";
const GONE: [&str; 3] = [
    "DELETE FROM recovery_code WHERE user_id = $1",
    "DELETE FROM second_factor WHERE id = $1",
    "DELETE FROM sign_in_challenge WHERE user_id = $1",
];

/// One's own second factor, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecondFactorView {
    pub is_enabled: bool,
    #[schema(required)]
    pub enabled_at: Option<DateTime<Utc>>,
    /// Recovery codes that were not used yet, of ten.
    pub recovery_codes_left: i64,
    /// Whether the tenant of this session requires one.
    pub is_required: bool,
}

/// # Errors
/// 403 `person_only`.
pub async fn get(ctx: &Ctx) -> Result<SecondFactorView> {
    let user = users::caller(ctx).await?;
    let system = ctx.core.db.system(Reason::People);
    let enabled_at = enabled(system.connection(), user.id).await?.and_then(|factor| factor.confirmed_at);
    let left = system.query(LEFT, vec![user.id.into()]).await?;
    let left = left.first().map_or(Ok(0), |row| row.try_get("", "unused"))?;
    let is_required = !system.query(REQUIRED, vec![ctx.tenant.into()]).await?.is_empty();
    Ok(SecondFactorView {
        is_enabled: enabled_at.is_some(),
        enabled_at,
        recovery_codes_left: left,
        is_required,
    })
}

/// The factor that the person has to use.
pub(super) async fn enabled(db: &impl ConnectionTrait, user: Uuid) -> Result<Option<Model>> {
    Ok(find(db, user).await?.filter(|factor| factor.confirmed_at.is_some()))
}

async fn find(db: &impl ConnectionTrait, user: Uuid) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(user).one(db).await?)
}

/// Whether the tenant requires a second factor of this member and they have none.
pub(crate) async fn is_due(core: &Core, tenant: Uuid, user: Uuid) -> Result<bool> {
    let rows = core.db.system(Reason::SignIn).query(DUE, vec![tenant.into(), user.into()]).await?;
    Ok(!rows.is_empty())
}

/// Takes the factor away with all that belongs to it.
pub(super) async fn remove(tx: &SystemTx, user: Uuid) -> Result<()> {
    for sql in GONE {
        tx.execute(sql, vec![user.into()]).await?;
    }
    Ok(())
}

fn place(user: Uuid) -> Place {
    Place { tenant: Uuid::nil(), table: "second_factor", column: "sealed", row: user }
}
