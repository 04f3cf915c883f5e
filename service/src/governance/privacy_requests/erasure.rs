//! Erasing a person in one tenant, in steps that are each a transaction: what broke off goes on behind the
//! last step, on any node. The audit chain stays whole, because its rows lose only what was hashed apart.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::governance::privacy_request::{ActiveModel, Column, Entity, Model, PrivacyStatus};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition, Order, Value};
use serde_json::json;
use uuid::Uuid;

use super::PrivacyReceipt;
use crate::core::Core;
use crate::crud::document;
use crate::db::{Reason, TenantTx};
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, Recorded, append};
use crate::identity::users;

/// Requests of one sweep, and steps of one of them.
const REQUESTS: u64 = 5;
const STEPS: usize = 20;
/// Audit rows that one step looks through.
const WINDOW: i64 = 2_000;

/// Where the person was.
const FORGET_ADDRESSES: &str = "UPDATE audit_log SET ip_salt = NULL, ip_address = NULL \
     WHERE tenant_id = $1 AND number > $2 AND number <= $3 AND user_id = $4 AND ip_address IS NOT NULL";
/// What tells who they are: their sign-ins, their account, and whatever names their address.
const FORGET_DATA: &str = "UPDATE audit_log SET data_salt = NULL, old_data = NULL, new_data = NULL \
     WHERE tenant_id = $1 AND number > $2 AND number <= $3 AND (old_data IS NOT NULL OR new_data IS NOT NULL) \
     AND ((resource = 'session' AND user_id = $4) OR (resource = 'user' AND resource_id = $4) \
          OR old_data LIKE $5 ESCAPE '!' OR new_data LIKE $5 ESCAPE '!')";
const FORGET_ANSWERS: &str = "DELETE FROM idempotency_record WHERE tenant_id = $1 AND principal = $2";
const FORGET_TOKENS: &str = "DELETE FROM refresh_token WHERE session_id IN \
     (SELECT id FROM session WHERE tenant_id = $1 AND user_id = $2)";
const FORGET_SESSIONS: &str = "DELETE FROM session WHERE tenant_id = $1 AND user_id = $2";
const FORGET_NOTIFICATIONS: &str = "DELETE FROM notification WHERE tenant_id = $1 AND user_id = $2";
const FORGET_INVITES: &str = "DELETE FROM team_invite WHERE tenant_id = $1 AND email = $2";
/// The account itself, where the person belongs nowhere any more and this tenant made it.
const FORGET_ACCOUNT: &str = "UPDATE app_user SET email = $3, name = NULL, image = NULL, password_hash = NULL, \
     email_verified_at = NULL, terms_version = NULL, terms_accepted_at = NULL, privacy_version = NULL, \
     privacy_accepted_at = NULL, deactivated_at = NULL, is_active = $4, updated_at = $5 \
     WHERE tenant_id = $1 AND id = $2 AND platform_role = 'MEMBER' \
     AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.user_id = app_user.id)";
const FORGET_MAILED_TOKENS: &str = "DELETE FROM verification_token WHERE user_id IN \
     (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)";
const FORGET_FACTORS: [&str; 5] = [
    "DELETE FROM account WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM oidc_request WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM recovery_code WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM second_factor WHERE id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM sign_in_challenge WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
];
const FORGET_INBOX: [&str; 4] = [
    "DELETE FROM notification WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM notification_inbox WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM notification_preference WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
    "DELETE FROM user_device WHERE user_id IN (SELECT id FROM app_user WHERE tenant_id = $1 AND id = $2)",
];
const FORGET_MAILS: &str = "DELETE FROM mail WHERE recipient = $3 \
     AND EXISTS (SELECT 1 FROM app_user WHERE tenant_id = $1 AND id = $2)";

/// Goes on with the erasures that are asked for.
pub async fn sweep(core: &Core) -> Result<()> {
    let system = core.db.system(Reason::Engine);
    let open = system.find::<Entity>().filter(Column::Status.eq(PrivacyStatus::Pending));
    for request in open.order_by(Column::Id, Order::Asc).limit(REQUESTS).all().await? {
        let id = request.id;
        if let Err(error) = erase(core, request).await {
            tracing::error!(%error, request = %id, "an erasure could not go on");
        }
    }
    Ok(())
}

async fn erase(core: &Core, mut request: Model) -> Result<()> {
    let email = users::by_id(core.db.system(Reason::People).connection(), request.user_id).await?;
    let email = email.map(|user| user.email);
    for _ in 0..STEPS {
        let tx = core.db.tenant(request.tenant_id).begin().await?;
        let sql = "SELECT number FROM audit_chain WHERE tenant_id = $1";
        let end = tx.query(sql, Vec::new()).await?;
        let end: i64 = end.first().map(|row| row.try_get("", "number")).transpose()?.unwrap_or(0);
        if request.position >= end {
            return complete(core, tx, request, email).await;
        }
        let (from, to) = (request.position, end.min(request.position + WINDOW));
        let mut erased = document::read::<PrivacyReceipt>(request.receipt.clone()).erased;
        let window = || -> Vec<Value> { vec![from.into(), to.into(), request.user_id.into()] };
        count(&mut erased, "auditAddresses", tx.execute(FORGET_ADDRESSES, window()).await?);
        let named = email.as_deref().map_or_else(|| "!%".to_owned(), names_email);
        let values = [window(), vec![named.into()]].concat();
        count(&mut erased, "auditData", tx.execute(FORGET_DATA, values).await?);
        let step = ActiveModel {
            position: Set(to),
            receipt: Set(json!({ "erased": erased })),
            updated_at: Set(core.clock.now()),
            ..ActiveModel::default()
        };
        let Some(next) = tx.update::<Entity>(request.id, here(&request), step).await? else { return Ok(()) };
        tx.commit(Recorded::bookkeeping()).await?;
        request = next;
    }
    Ok(())
}

/// The request as it was read: of several nodes one makes each step.
fn here(request: &Model) -> Condition {
    Condition::all().add(Column::Status.eq(PrivacyStatus::Pending)).add(Column::Position.eq(request.position))
}

/// Pattern of JSON texts in which the e-mail stands as a value.
fn names_email(email: &str) -> String {
    let text = json!(email).to_string();
    let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

fn count(erased: &mut BTreeMap<String, u64>, what: &str, rows: u64) {
    *erased.entry(what.to_owned()).or_default() += rows;
}

async fn complete(core: &Core, tx: TenantTx, request: Model, email: Option<String>) -> Result<()> {
    let (tenant, user, now) = (request.tenant_id, request.user_id, core.clock.now());
    let mut erased = document::read::<PrivacyReceipt>(request.receipt.clone()).erased;
    let actor = format!("user:{user}");
    count(&mut erased, "answers", tx.execute(FORGET_ANSWERS, vec![actor.into()]).await?);
    tx.execute(FORGET_TOKENS, vec![user.into()]).await?;
    count(&mut erased, "sessions", tx.execute(FORGET_SESSIONS, vec![user.into()]).await?);
    let told = tx.execute(FORGET_NOTIFICATIONS, vec![user.into()]).await?;
    count(&mut erased, "notifications", told);
    if let Some(email) = &email {
        let invites = tx.execute(FORGET_INVITES, vec![email.as_str().into()]).await?;
        count(&mut erased, "invitations", invites);
    }
    if let Some(email) = email {
        forget_account(&tx, user, email, now).await?;
    }
    let done = ActiveModel {
        status: Set(PrivacyStatus::Completed),
        receipt: Set(json!({ "erased": erased })),
        updated_at: Set(now),
        completed_at: Set(Some(now)),
        ..ActiveModel::default()
    };
    if tx.update::<Entity>(request.id, here(&request), done).await?.is_none() {
        return Ok(());
    }
    let change = Change::of::<Entity>(request.id).with(json!({ "erased": erased }));
    let entry = Entry::of_platform("system", "complete_privacy_request", tenant, change);
    let recorded = append(core, tx.system(Reason::Audit), entry).await?;
    tx.commit(recorded).await?;
    core.principals.clear();
    Ok(())
}

/// Forgets the account of a person who belongs nowhere any more and whom this tenant made.
pub async fn forget_account(tx: &TenantTx, user: Uuid, email: String, now: DateTime<Utc>) -> Result<()> {
    let nobody = format!("erased-{user}@invalid");
    let values = vec![user.into(), nobody.into(), false.into(), now.into()];
    if tx.execute(FORGET_ACCOUNT, values).await? == 0 {
        return Ok(());
    }
    tx.execute(FORGET_MAILED_TOKENS, vec![user.into()]).await?;
    for sql in FORGET_FACTORS.into_iter().chain(FORGET_INBOX) {
        tx.execute(sql, vec![user.into()]).await?;
    }
    tx.execute(FORGET_MAILS, vec![user.into(), email.into()]).await?;
    Ok(())
}
