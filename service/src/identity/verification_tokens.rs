//! Tokens that are sent to an e-mail address: to verify it, to reset a password, to sign in, to change
//! the address.
//!
//! Invariants: a token works once, before its end, for its purpose, while the person's address is still
//! the one it was sent to; of any number of uses at once one wins. Asking for one never tells whether
//! the platform knows the address: the answer is the same, and so are the statements of the one transaction
//! before it. What differs is that one of them stores a row.

mod emails;
mod magic_links;
mod passwords;

use std::time::Duration;

use chrono::TimeDelta;
use entity::identity::app_user;
use entity::identity::verification_token::Purpose;
use sea_orm::ActiveEnum as _;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::users;
use crate::auth::opaque::{Sha256Hash, VERIFICATION_TOKEN};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, append};
use crate::notifications::mails::{self, Letter};

pub use emails::{
    ConfirmEmailChange, RequestEmailChange, VerifyEmail, confirm_change, request_change,
    request_verification, verify,
};
pub use magic_links::{RequestMagicLink, SignInByMagicLink, request as request_magic_link, sign_in};
pub use passwords::{RequestPasswordReset, ResetPassword, request as request_reset, reset};

/// Mails of one purpose to one person in an hour; what is asked beyond them is answered the same.
const MOST_AN_HOUR: i64 = 5;

/// Nothing where the person is nobody.
const INSERT: &str = "INSERT INTO verification_token (hash, user_id, purpose, email, created_at, expires_at)
    SELECT $1, u.id, $3, $4, $5, $6 FROM app_user u WHERE u.id = $2";
const COUNT: &str = "SELECT COUNT(*) AS sent FROM verification_token
    WHERE user_id = $1 AND purpose = $2 AND created_at > $3";
const KNOWN: &str = "SELECT user_id FROM verification_token
    WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3";
const USE: &str = "UPDATE verification_token SET used_at = $3
    WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 RETURNING user_id, email";
const SPEND: &str = "UPDATE verification_token SET used_at = $3
    WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL";
const SPEND_ALL: &str = "UPDATE verification_token SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL";

pub fn lifetime(purpose: Purpose) -> Duration {
    match purpose {
        Purpose::VerifyEmail | Purpose::ChangeEmail => Duration::from_secs(24 * 3600),
        Purpose::ResetPassword => Duration::from_secs(30 * 60),
        Purpose::MagicLink => Duration::from_secs(15 * 60),
    }
}

fn minutes(purpose: Purpose) -> u32 {
    u32::try_from(lifetime(purpose).as_secs() / 60).unwrap_or(u32::MAX)
}

/// Sends a token to whoever has this address, if somebody does.
async fn send_to(core: &Core, email: &str, purpose: Purpose) -> Result<()> {
    let email = users::fold_email(email);
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let user = users::by_email(tx.connection(), &email).await?.filter(|user| user.is_active);
    send(core, &tx, user.as_ref(), purpose, &email).await?;
    tx.commit().await
}

/// Sends a token for the person to `email`, unless many were sent before, or there is nobody: the statements
/// are the same ones, and so is what is computed between them.
async fn send(
    core: &Core,
    tx: &SystemTx,
    user: Option<&app_user::Model>,
    purpose: Purpose,
    email: &str,
) -> Result<()> {
    let now = core.clock.now();
    let id = user.map_or(Uuid::nil(), |user| user.id);
    let values = vec![id.into(), purpose.to_value().into(), (now - TimeDelta::hours(1)).into()];
    let counted = tx.query(COUNT, values).await?;
    let sent: i64 = counted.first().map_or(Ok(0), |row| row.try_get("", "sent"))?;
    let dropped = match user {
        None => Some("UNKNOWN_RECIPIENT"),
        Some(_) if sent >= MOST_AN_HOUR => Some("TOO_MANY"),
        Some(_) => None,
    };
    let (token, hash) = VERIFICATION_TOKEN.generate(&core.ids);
    let owner = if dropped.is_none() { id } else { Uuid::nil() };
    let values = vec![
        hash.as_bytes().to_vec().into(),
        owner.into(),
        purpose.to_value().into(),
        email.into(),
        now.into(),
        core.clock.after(lifetime(purpose)).into(),
    ];
    tx.execute(INSERT, values).await?;
    let (token, minutes) = (&token, minutes(purpose));
    let letter = match purpose {
        Purpose::VerifyEmail => Letter::VerifyEmail { token, hours: minutes / 60 },
        Purpose::ResetPassword => Letter::ResetPassword { token, minutes },
        Purpose::MagicLink => Letter::MagicLink { token, minutes },
        Purpose::ChangeEmail => Letter::ChangeEmail { token, hours: minutes / 60 },
    };
    mails::queue_unless(core, tx.connection(), email, &letter, dropped).await
}

/// Refuses a token that cannot be used, before anything costly is done for it.
///
/// # Errors
/// 401 `invalid_verification_token`.
async fn require_known(core: &Core, token: &SecretString, purpose: Purpose) -> Result<(Sha256Hash, Uuid)> {
    let hash = VERIFICATION_TOKEN.parse(token.expose_secret())?;
    let now = core.clock.now();
    let values = vec![hash.as_bytes().to_vec().into(), purpose.to_value().into(), now.into()];
    let known = core.db.system(Reason::SignIn).query(KNOWN, values).await?;
    let known = known.first().ok_or_else(|| VERIFICATION_TOKEN.invalid())?;
    Ok((hash, known.try_get("", "user_id")?))
}

/// Uses the token up, and with it all others of the person for the same purpose.
///
/// # Errors
/// 401 `invalid_verification_token`, also when the person was deactivated or has another address now.
async fn redeem(
    core: &Core,
    tx: &SystemTx,
    hash: &Sha256Hash,
    purpose: Purpose,
) -> Result<(app_user::Model, String)> {
    let now = core.clock.now();
    let refused = || VERIFICATION_TOKEN.invalid();
    let values = vec![hash.as_bytes().to_vec().into(), purpose.to_value().into(), now.into()];
    let row = tx.query(USE, values).await?.into_iter().next().ok_or_else(refused)?;
    let (id, email): (Uuid, String) = (row.try_get("", "user_id")?, row.try_get("", "email")?);
    let user = users::by_id(tx.connection(), id).await?.filter(|user| user.is_active).ok_or_else(refused)?;
    if purpose != Purpose::ChangeEmail && user.email != email {
        return Err(refused());
    }
    tx.execute(SPEND, vec![id.into(), purpose.to_value().into(), now.into()]).await?;
    Ok((user, email))
}

/// Uses a link to sign in up.
///
/// # Errors
/// 401 `invalid_verification_token`.
pub(super) async fn use_link(core: &Core, tx: &SystemTx, hash: &Sha256Hash) -> Result<()> {
    redeem(core, tx, hash, Purpose::MagicLink).await.map(drop)
}

/// The audit row of what a person did by a token; in the tenant that made them.
async fn record(
    core: &Core,
    tx: &SystemTx,
    request: &RequestInfo,
    user: &app_user::Model,
    change: serde_json::Value,
) -> Result<()> {
    let Some(tenant) = user.tenant_id else { return Ok(()) };
    let entry = Entry::of_person(request, tenant, user.id, Change::to("user", user.id).with(change));
    let _recorded = append(core, tx.connection(), entry).await?;
    Ok(())
}

/// Makes every token of the person worthless: who they are has changed.
pub(super) async fn spend_all(core: &Core, tx: &SystemTx, user: Uuid) -> Result<()> {
    tx.execute(SPEND_ALL, vec![user.into(), core.clock.now().into()]).await?;
    Ok(())
}
