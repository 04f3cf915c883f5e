//! A forgotten password: whoever reads the mails to the address chooses another.

use entity::identity::verification_token::Purpose;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::{record, redeem, require_known, send_to, spend_all};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;
use crate::identity::sessions::rotation;
use crate::identity::users;
use crate::notifications::mails::{self, Letter};
use crate::notifications::notify::{Notice, notify};

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestPasswordReset {
    /// In any case.
    #[validate(length(min = 1, max = 254))]
    #[schema(min_length = 1, max_length = 254, example = "ada@example.org")]
    pub email: String,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetPassword {
    /// From the mail.
    #[schema(value_type = String, example = "mc_vt_…")]
    pub token: SecretString,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128, example = "correct horse battery")]
    pub password: SecretString,
}

pub async fn request(core: &Core, request: RequestPasswordReset) -> Result<()> {
    send_to(core, &request.email, Purpose::ResetPassword).await
}

/// Sets the password, verifies the address and ends every session: nobody but the reader of the mail is
/// signed in afterwards.
///
/// # Errors
/// 401 `invalid_verification_token`; 422 at `/password`.
pub async fn reset(core: &Core, reset: ResetPassword, request: &RequestInfo) -> Result<()> {
    let ResetPassword { token, password } = reset;
    prove(core, request, &token, Purpose::ResetPassword, password).await
}

/// What resetting a password and verifying an address have in common: the person chooses a password.
/// Whoever made the account may know the old one, so it must not outlive the proof.
pub(super) async fn prove(
    core: &Core,
    request: &RequestInfo,
    token: &SecretString,
    purpose: Purpose,
    password: SecretString,
) -> Result<()> {
    let (hash, _) = require_known(core, token, purpose).await?;
    let password_hash = users::hash_password(core, "/password", password).await?;
    let now = core.clock.now();
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let (user, email) = redeem(core, &tx, &hash, purpose).await?;
    users::set_password(&tx, user.id, &password_hash, now).await?;
    users::set_verified(&tx, user.id, now).await?;
    spend_all(core, &tx, user.id).await?;
    rotation::end_all(&tx, user.id, None, now).await?;
    mails::queue(core, tx.connection(), &email, &Letter::PasswordChanged).await?;
    notify(core, tx.connection(), &[user.id], &Notice::password_changed()).await?;
    record(core, &tx, request, &user, json!({ "passwordChanged": true, "emailVerified": true })).await?;
    tx.commit().await?;
    core.principals.clear();
    Ok(())
}
