//! Getting a second factor, new recovery codes, and giving it up.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::codes::{self, Code};
use super::{enabled, find, place, remove};
use crate::auth::totp;
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::sessions::rotation;
use crate::identity::users;
use crate::notifications::mails::{self, Letter};
use crate::notifications::notify::{Notice, notify};

/// What an authenticator shows beside the code.
const ISSUER: &str = "Mission Control";

const PUT: &str = "INSERT INTO second_factor (id, sealed, last_step, confirmed_at, created_at, updated_at)
    VALUES ($1, $2, 0, NULL, $3, $3)
    ON CONFLICT (id) DO UPDATE SET sealed = $2, last_step = 0, created_at = $3, updated_at = $3
    WHERE second_factor.confirmed_at IS NULL";
const CONFIRM: &str = "UPDATE second_factor SET confirmed_at = $4, last_step = $3, updated_at = $4
    WHERE id = $1 AND sealed = $2 AND confirmed_at IS NULL";

#[derive(Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolSecondFactor {
    /// One's password, where the account has one.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, example = "correct horse battery")]
    pub password: Option<SecretString>,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmSecondFactor {
    /// Of the authenticator.
    #[schema(value_type = String, example = "287082")]
    pub code: SecretString,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRecoveryCodes {
    /// Of the authenticator, or a recovery code.
    #[schema(value_type = String, example = "287082")]
    pub code: SecretString,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisableSecondFactor {
    /// Of the authenticator, or a recovery code.
    #[schema(value_type = String, example = "287082")]
    pub code: SecretString,
    /// One's password, where the account has one.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, example = "correct horse battery")]
    pub password: Option<SecretString>,
}

/// What the authenticator is told, shown once.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecondFactorSecretView {
    /// In Base32, to be typed.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    pub secret: String,
    /// To be shown as a QR code.
    #[schema(
        example = "otpauth://totp/Mission%20Control:ada@example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Mission%20Control&algorithm=SHA1&digits=6&period=30"
    )]
    pub otpauth_uri: String,
}

/// Ten codes, shown once. Each signs in once in the place of the authenticator's.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryCodesView {
    #[schema(example = json!(["MFRG-GZDF-MZTW-Q2LK"]))]
    pub recovery_codes: Vec<String>,
}

/// Makes a secret; it counts once [`confirm`] saw a code of it. Asking again makes another.
///
/// # Errors
/// 403 `person_only`, `email_unverified`; 409 `second_factor_enabled`; 422 at `/password`; 429.
pub async fn enrol(ctx: &Ctx, enrol: EnrolSecondFactor) -> Result<SecondFactorSecretView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    if user.email_verified_at.is_none() {
        return Err(Error::denied("email_unverified", "Verify your address first."));
    }
    users::require_own_password(core, &user, enrol.password).await?;
    let mut secret = zeroize::Zeroizing::new([0; totp::SECRET_BYTES]);
    core.ids.fill(secret.as_mut());
    let sealed = core.keys.seal(&place(user.id), secret.as_ref())?;
    let uri = totp::uri(secret.as_ref(), ISSUER, &user.email)?;
    let otpauth_uri = uri.expose_secret().to_owned();
    let view = SecondFactorSecretView { secret: totp::base32(secret.as_ref()), otpauth_uri };
    let tx = core.db.system(Reason::People).begin().await?;
    let put = tx.execute(PUT, vec![user.id.into(), sealed.into(), core.clock.now().into()]).await?;
    if put.rows_affected() == 0 {
        return Err(is_enabled());
    }
    let change = Change::to("user", user.id).with(json!({ "secondFactor": "PENDING" }));
    ctx.finish(tx, change, &view).await?;
    Ok(view)
}

/// Takes the secret into use and ends the person's other sessions, which were opened without it.
///
/// # Errors
/// 403 `person_only`; 404 when nothing waits for it; 409 `second_factor_enabled`; 422 at `/code`; 429.
pub async fn confirm(ctx: &Ctx, confirm: ConfirmSecondFactor) -> Result<RecoveryCodesView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let system = core.db.system(Reason::People);
    let factor = find(system.connection(), user.id).await?.ok_or_else(none)?;
    if factor.confirmed_at.is_some() {
        return Err(is_enabled());
    }
    let Some(Code::Step(step)) = codes::guess(core, &factor, &confirm.code, ctx.ip).await? else {
        return Err(wrong_code());
    };
    let now = core.clock.now();
    let tx = system.begin().await?;
    let values = vec![user.id.into(), factor.sealed.into(), step.into(), now.into()];
    if tx.execute(CONFIRM, values).await?.rows_affected() == 0 {
        return Err(Error::conflict("concurrent_update", "The second factor was just changed: try again."));
    }
    let recovery_codes = codes::renew(core, &tx, user.id).await?;
    rotation::end_all(&tx, user.id, ctx.session, now).await?;
    mails::queue(core, tx.connection(), &user.email, &Letter::SecondFactorEnabled).await?;
    notify(core, tx.connection(), &[user.id], &Notice::second_factor_changed(true)).await?;
    finish(ctx, tx, user.id, "ENABLED", RecoveryCodesView { recovery_codes }).await
}

/// # Errors
/// 403 `person_only`; 404 when there is no second factor; 422 at `/code`; 429.
pub async fn renew_recovery_codes(ctx: &Ctx, new: NewRecoveryCodes) -> Result<RecoveryCodesView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let tx = prove(ctx, user.id, &new.code).await?;
    let recovery_codes = codes::renew(core, &tx, user.id).await?;
    finish(ctx, tx, user.id, "NEW_RECOVERY_CODES", RecoveryCodesView { recovery_codes }).await
}

/// # Errors
/// 403 `person_only`; 404 when there is no second factor; 422 at `/code` or `/password`; 429.
pub async fn disable(ctx: &Ctx, disable: DisableSecondFactor) -> Result<()> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let DisableSecondFactor { code, password } = disable;
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    enabled(core.db.system(Reason::People).connection(), user.id).await?.ok_or_else(none)?;
    users::require_own_password(core, &user, password).await?;
    let tx = prove(ctx, user.id, &code).await?;
    remove(&tx, user.id).await?;
    mails::queue(core, tx.connection(), &user.email, &Letter::SecondFactorDisabled).await?;
    notify(core, tx.connection(), &[user.id], &Notice::second_factor_changed(false)).await?;
    finish(ctx, tx, user.id, "DISABLED", ()).await
}

/// A transaction in which a code of the person was used up.
async fn prove(ctx: &Ctx, user: Uuid, code: &SecretString) -> Result<SystemTx> {
    let core = &ctx.core;
    let system = core.db.system(Reason::People);
    let factor = enabled(system.connection(), user).await?.ok_or_else(none)?;
    let code = codes::guess(core, &factor, code, ctx.ip).await?.ok_or_else(wrong_code)?;
    let tx = system.begin().await?;
    if codes::spend(&tx, user, &code, core.clock.now()).await? { Ok(tx) } else { Err(wrong_code()) }
}

async fn finish<V>(ctx: &Ctx, tx: SystemTx, user: Uuid, state: &str, answer: V) -> Result<V>
where
    V: Serialize + Send + Sync,
{
    let change = Change::to("user", user).with(json!({ "secondFactor": state }));
    ctx.finish(tx, change, &answer).await?;
    ctx.core.principals.clear();
    Ok(answer)
}

fn none() -> Error {
    Error::not_found("second factor")
}

fn is_enabled() -> Error {
    Error::conflict("second_factor_enabled", "You have a second factor: disable it first.")
}

fn wrong_code() -> Error {
    Error::invalid("/code", "wrong_code", "The code is wrong, or was used before.")
}
