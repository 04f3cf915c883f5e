//! Leaving for good. The row of the person stays, because others refer to it; what tells who they were
//! does not.

use chrono::{DateTime, Utc};
use entity::identity::app_user::PlatformRole;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::{second_factors, users};
use crate::notifications::mails::{self, Letter};

const ORPHANED: &str = "SELECT m.tenant_id FROM membership m WHERE m.user_id = $1 AND m.role = 'OWNER'
    AND m.status = 'ACTIVE' AND NOT EXISTS (SELECT 1 FROM membership o JOIN app_user u ON u.id = o.user_id
    WHERE o.tenant_id = m.tenant_id AND o.user_id <> $1 AND o.role = 'OWNER' AND o.status = 'ACTIVE'
    AND u.is_active) LIMIT 1";
const OTHER_ADMINS: &str = "SELECT id FROM app_user WHERE platform_role = 'ADMIN' AND id <> $1 AND is_active
    LIMIT 1";

/// With the time as `$2`.
const ENDED: [&str; 3] = [
    "UPDATE api_key SET revoked_at = $2, updated_at = $2, revision = revision + 1
        WHERE created_by = $1 AND revoked_at IS NULL",
    "UPDATE session SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL",
    "UPDATE team_invite SET status = 'REVOKED', updated_at = $2, revision = revision + 1
        WHERE invited_by = $1 AND status = 'PENDING'",
];
const GONE: [&str; 8] = [
    "UPDATE session SET device = NULL, ip = NULL WHERE user_id = $1",
    "DELETE FROM account WHERE user_id = $1",
    "DELETE FROM oidc_request WHERE user_id = $1",
    "DELETE FROM notification WHERE user_id = $1",
    "DELETE FROM notification_inbox WHERE user_id = $1",
    "DELETE FROM notification_preference WHERE user_id = $1",
    "DELETE FROM user_device WHERE user_id = $1",
    "DELETE FROM membership WHERE user_id = $1",
];
/// What was sent to the address, and who invited it.
const SENT: [&str; 2] = ["DELETE FROM mail WHERE recipient = $1", "DELETE FROM team_invite WHERE email = $1"];
/// What was answered to them.
const ANSWERS: &str = "DELETE FROM idempotency_record WHERE tenant_id = $1 AND principal = $2";
const FORGET: &str = "UPDATE app_user SET email = $3, name = NULL, image = NULL, tenant_id = NULL,
    password_hash = NULL, email_verified_at = NULL, terms_version = NULL, terms_accepted_at = NULL,
    privacy_version = NULL, privacy_accepted_at = NULL, deactivated_at = NULL, is_active = $4, platform_role = 'MEMBER', updated_at = $2,
    revision = revision + 1 WHERE id = $1";

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteMe {
    /// One's password, where the account has one; else a sign-in of the last ten minutes is needed. This cannot
    /// be undone.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, example = "correct horse battery")]
    pub password: Option<SecretString>,
}

/// Ends every membership, session and key of the person and forgets who they were. Each of their tenants
/// gets an audit row.
///
/// # Errors
/// 403 `person_only`, `fresh_sign_in_required`; 409 `last_owner`, `last_platform_admin`; 422 at `/password`; 429.
pub async fn delete(ctx: &Ctx, delete: DeleteMe) -> Result<()> {
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    users::require_presence(ctx, &user, delete.password, "/password").await?;
    let now = core.clock.now();
    let tx = core.db.system(Reason::People).begin().await?;
    let mut tenants = lock_tenants(&tx, user.id).await?;
    if is_last_owner(&tx, user.id).await? {
        let message = "You are the last owner of a tenant: make somebody else one first.";
        return Err(Error::conflict("last_owner", message));
    }
    if user.platform_role == PlatformRole::Admin && !has_rows(&tx, OTHER_ADMINS, user.id).await? {
        let message = "You are the last administrator of the platform.";
        return Err(Error::conflict("last_platform_admin", message));
    }
    end_credentials(&tx, user.id, now).await?;
    for sql in GONE {
        tx.execute(sql, vec![user.id.into()]).await?;
    }
    second_factors::remove(&tx, user.id).await?;
    for sql in SENT {
        tx.execute(sql, vec![user.email.as_str().into()]).await?;
    }
    mails::queue(core, tx.connection(), &user.email, &Letter::AccountDeleted).await?;
    let nobody = format!("deleted-{}{}", user.id.simple(), users::DELETED);
    tx.execute(FORGET, vec![user.id.into(), now.into(), nobody.into(), false.into()]).await?;
    if !tenants.contains(&ctx.tenant) {
        tenants.push(ctx.tenant);
        tenants.sort_unstable();
    }
    for tenant in &tenants {
        tx.execute(ANSWERS, vec![(*tenant).into(), ctx.actor.to_string().into()]).await?;
    }
    for tenant in tenants {
        let within = Ctx { tenant, ..ctx.clone() };
        let change = Change::to("user", user.id).with(json!({ "deleted": true }));
        let _recorded = within.record(tx.connection(), change).await?;
    }
    tx.commit().await?;
    core.principals.clear();
    Ok(())
}

/// The tenants of the person, locked in one order against other changes of their owners.
pub(in crate::identity) async fn lock_tenants(tx: &SystemTx, user: Uuid) -> Result<Vec<Uuid>> {
    tx.lock("people leave").await?;
    let locked = format!(
        "SELECT id FROM tenant WHERE id IN (SELECT tenant_id FROM membership WHERE user_id = $1) ORDER BY id{}",
        tx.dialect().for_update()
    );
    let mut tenants = Vec::new();
    for row in tx.query(&locked, vec![user.into()]).await? {
        tenants.push(row.try_get::<Uuid>("", "id")?);
    }
    Ok(tenants)
}

/// Whether a tenant would be left without an owner who may act.
pub(in crate::identity) async fn is_last_owner(tx: &SystemTx, user: Uuid) -> Result<bool> {
    has_rows(tx, ORPHANED, user).await
}

/// The person's keys, sessions and invitations end.
pub(in crate::identity) async fn end_credentials(
    tx: &SystemTx,
    user: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    for sql in ENDED {
        tx.execute(sql, vec![user.into(), now.into()]).await?;
    }
    tx.execute("DELETE FROM verification_token WHERE user_id = $1", vec![user.into()]).await?;
    Ok(())
}

async fn has_rows(tx: &SystemTx, sql: &str, user: Uuid) -> Result<bool> {
    Ok(!tx.query(sql, vec![user.into()]).await?.is_empty())
}
