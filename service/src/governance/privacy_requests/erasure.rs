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
use super::traces::Traces;
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
/// What tells who they are, by one of several conditions.
const FORGET_DATA: &str = "UPDATE audit_log SET data_salt = NULL, old_data = NULL, new_data = NULL \
     WHERE tenant_id = $1 AND number > $2 AND number <= $3 AND (old_data IS NOT NULL OR new_data IS NOT NULL) AND ";
const SIGN_INS: &str = "resource = 'session' AND user_id = $4";
const FORGET_ANSWERS: &str = "DELETE FROM idempotency_record WHERE tenant_id = $1 AND principal = $2";
const FORGET_TOKENS: &str = "DELETE FROM refresh_token WHERE session_id IN \
     (SELECT id FROM session WHERE tenant_id = $1 AND user_id = $2)";
const FORGET_SESSIONS: &str = "DELETE FROM session WHERE tenant_id = $1 AND user_id = $2";
const FORGET_NOTIFICATIONS: &str = "DELETE FROM notification WHERE tenant_id = $1 AND user_id = $2";
const FORGET_INVITES: &str =
    "DELETE FROM team_invite WHERE tenant_id = $1 AND (email = $2 OR accepted_by = $3)";
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

/// First through the whole log, to know by what the person is found: what names them may be older than what tells
/// that it does. Then through it again, to take that away.
async fn erase(core: &Core, mut request: Model) -> Result<()> {
    let people = core.db.system(Reason::People);
    for _ in 0..STEPS {
        let mut traces = document::read::<Traces>(request.traces.clone());
        let tx = core.db.tenant(request.tenant_id).begin().await?;
        let sql = "SELECT number FROM audit_chain WHERE tenant_id = $1";
        let end = tx.query(sql, Vec::new()).await?;
        let end: i64 = end.first().map(|row| row.try_get("", "number")).transpose()?.unwrap_or(0);
        let step = if request.gathered < end && request.position == 0 {
            let to = end.min(request.gathered + WINDOW);
            traces.gather(&tx, request.user_id, (request.gathered, to)).await?;
            if to == end {
                traces.know(&people, request.user_id).await?;
                traces.complete(&tx).await?;
                traces.keep_own(&people, request.user_id).await?;
            }
            ActiveModel {
                gathered: Set(to),
                traces: Set(document::stored(&traces)?),
                ..ActiveModel::default()
            }
        } else if request.position < end {
            let to = end.min(request.position + WINDOW);
            let mut erased = document::read::<PrivacyReceipt>(request.receipt.clone()).erased;
            forget(&tx, &request, &traces, to, &mut erased).await?;
            ActiveModel {
                position: Set(to),
                receipt: Set(json!({ "erased": erased })),
                ..ActiveModel::default()
            }
        } else {
            let email = users::by_id(people.connection(), request.user_id).await?.map(|user| user.email);
            return complete(core, tx, request, &traces, email).await;
        };
        let step = ActiveModel { updated_at: Set(core.clock.now()), ..step };
        let Some(next) = tx.update::<Entity>(request.id, here(&request), step).await? else { return Ok(()) };
        tx.commit(Recorded::bookkeeping()).await?;
        request = next;
    }
    Ok(())
}

/// Takes from the rows up to `to` what tells who the person is.
async fn forget(
    tx: &TenantTx,
    request: &Model,
    traces: &Traces,
    to: i64,
    erased: &mut BTreeMap<String, u64>,
) -> Result<()> {
    let place = || -> Vec<Value> { vec![request.position.into(), to.into()] };
    let theirs = || -> Vec<Value> { [place(), vec![request.user_id.into()]].concat() };
    count(erased, "auditAddresses", tx.execute(FORGET_ADDRESSES, theirs()).await?);
    count(erased, "auditData", tx.execute(&format!("{FORGET_DATA}{SIGN_INS}"), theirs()).await?);
    for (condition, values) in traces.conditions(request.user_id, 3) {
        let values = [place(), values].concat();
        count(erased, "auditData", tx.execute(&format!("{FORGET_DATA}{condition}"), values).await?);
    }
    Ok(())
}

/// The request as it was read: of several nodes one makes each step.
fn here(request: &Model) -> Condition {
    Condition::all()
        .add(Column::Status.eq(PrivacyStatus::Pending))
        .add(Column::Gathered.eq(request.gathered))
        .add(Column::Position.eq(request.position))
}

fn count(erased: &mut BTreeMap<String, u64>, what: &str, rows: u64) {
    *erased.entry(what.to_owned()).or_default() += rows;
}

async fn complete(
    core: &Core,
    tx: TenantTx,
    request: Model,
    traces: &Traces,
    email: Option<String>,
) -> Result<()> {
    let (tenant, user, now) = (request.tenant_id, request.user_id, core.clock.now());
    let mut erased = document::read::<PrivacyReceipt>(request.receipt.clone()).erased;
    let actor = format!("user:{user}");
    count(&mut erased, "answers", tx.execute(FORGET_ANSWERS, vec![actor.into()]).await?);
    tx.execute(FORGET_TOKENS, vec![user.into()]).await?;
    count(&mut erased, "sessions", tx.execute(FORGET_SESSIONS, vec![user.into()]).await?);
    let told = tx.execute(FORGET_NOTIFICATIONS, vec![user.into()]).await?;
    count(&mut erased, "notifications", told);
    for email in traces.addresses() {
        let invites = tx.execute(FORGET_INVITES, vec![email.into(), user.into()]).await?;
        count(&mut erased, "invitations", invites);
    }
    let emails: Vec<&str> = traces.addresses().chain(email.as_deref()).collect();
    forget_account(&tx, user, &emails, now).await?;
    let done = ActiveModel {
        status: Set(PrivacyStatus::Completed),
        receipt: Set(json!({ "erased": erased })),
        traces: Set(json!({})),
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
pub async fn forget_account(tx: &TenantTx, user: Uuid, emails: &[&str], now: DateTime<Utc>) -> Result<()> {
    let nobody = format!("erased-{user}@invalid");
    let values = vec![user.into(), nobody.into(), false.into(), now.into()];
    if tx.execute(FORGET_ACCOUNT, values).await? == 0 {
        return Ok(());
    }
    tx.execute(FORGET_MAILED_TOKENS, vec![user.into()]).await?;
    for sql in FORGET_FACTORS.into_iter().chain(FORGET_INBOX) {
        tx.execute(sql, vec![user.into()]).await?;
    }
    for email in emails {
        tx.execute(FORGET_MAILS, vec![user.into(), (*email).into()]).await?;
    }
    Ok(())
}
