//! Proving that an address is one's own: the one that somebody entered, or a new one.

use entity::identity::verification_token::Purpose;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::passwords::prove;
use super::{record, redeem, require_known, send, spend_all};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::{Reason, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::users;
use crate::notifications::mails::{self, Letter};
use crate::notifications::notify::{Notice, notify};

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyEmail {
    /// From the mail.
    #[schema(value_type = String, example = "mc_vt_…")]
    pub token: SecretString,
    /// A password of one's own: who made the account may know the one it has.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128, example = "correct horse battery")]
    pub password: SecretString,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestEmailChange {
    #[validate(email, length(max = 254))]
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    pub email: String,
    /// One's password, to prove that it is not somebody at an unlocked screen. Where the account has none, a
    /// sign-in of the last ten minutes is needed.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, example = "correct horse battery")]
    pub password: Option<SecretString>,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmEmailChange {
    /// From the mail to the new address.
    #[schema(value_type = String, example = "mc_vt_…")]
    pub token: SecretString,
}

/// Sends a token to the caller's own address; nothing when it is verified.
///
/// # Errors
/// 403 `person_only`.
pub async fn request_verification(ctx: &Ctx) -> Result<()> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let tx = core.db.system(Reason::People).begin().await?;
    if user.email_verified_at.is_none() {
        send(core, &tx, Some(&user), Purpose::VerifyEmail, &user.email).await?;
    }
    ctx.keep_answer(&tx, &()).await?;
    tx.commit().await
}

/// Verifies the address, and sets a password of the person's own choice.
///
/// # Errors
/// 401 `invalid_verification_token`; 422 at `/password`.
pub async fn verify(core: &Core, verify: VerifyEmail, request: &RequestInfo) -> Result<()> {
    let VerifyEmail { token, password } = verify;
    prove(core, request, &token, Purpose::VerifyEmail, password).await
}

/// Sends a token to the new address, or tells it that it has an account.
///
/// # Errors
/// 403 `person_only`, `email_unverified`, `fresh_sign_in_required`; 422 at `/password`; 429 `sign_in_attempts`.
pub async fn request_change(ctx: &Ctx, request: RequestEmailChange) -> Result<()> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let RequestEmailChange { email, password } = request;
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    users::require_presence(ctx, &user, password, "/password").await?;
    if user.email_verified_at.is_none() {
        return Err(Error::denied("email_unverified", "Verify your present address first."));
    }
    let email = users::fold_email(&email);
    let tx = core.db.system(Reason::People).begin().await?;
    match users::by_email(tx.connection(), &email).await? {
        Some(_) => mails::queue(core, tx.connection(), &email, &Letter::AddressInUse).await?,
        None => send(core, &tx, Some(&user), Purpose::ChangeEmail, &email).await?,
    }
    let change = Change::to("user", user.id).with(json!({ "emailChangeRequested": true }));
    ctx.finish(tx, change, &()).await
}

/// The person's address becomes the one that the token was sent to; the old one is told.
///
/// # Errors
/// 401 `invalid_verification_token`; 409 `email_taken`.
pub async fn confirm_change(core: &Core, confirm: ConfirmEmailChange, request: &RequestInfo) -> Result<()> {
    let (hash, _) = require_known(core, &confirm.token, Purpose::ChangeEmail).await?;
    let now = core.clock.now();
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let (user, email) = redeem(core, &tx, &hash, Purpose::ChangeEmail).await?;
    let taken = Error::conflict("email_taken", "Another account has this address.");
    let sql = "UPDATE app_user SET email = $2, email_verified_at = $3, updated_at = $3, revision = revision + 1 WHERE id = $1";
    let values: Vec<sea_orm::Value> = vec![Uuid::into(user.id), email.into(), now.into()];
    tx.execute(sql, values).await.map_err(on_violation(Violation::Unique, taken))?;
    spend_all(core, &tx, user.id).await?;
    mails::queue(core, tx.connection(), &user.email, &Letter::EmailChanged).await?;
    notify(core, tx.connection(), &[user.id], &Notice::email_changed()).await?;
    record(core, &tx, request, &user, json!({ "emailChanged": true })).await?;
    tx.commit().await?;
    core.principals.clear();
    Ok(())
}
