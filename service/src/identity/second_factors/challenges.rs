//! The second call of a sign-in. The first one proved a password, a link or an account elsewhere, and got
//! a challenge in the place of tokens.
//!
//! Invariants: a challenge lives five minutes, is for one person and the tenant they asked for, takes five
//! codes at most, however many are sent at once, and opens one session.

use std::time::Duration;

use entity::identity::sign_in_challenge::Model;
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{codes, enabled};
use crate::auth::opaque::{CHALLENGE, Sha256Hash};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::failed_sign_in;
use crate::identity::sessions::{self, TokensView, entrance};
use crate::identity::users;

const LIFETIME: Duration = Duration::from_secs(5 * 60);
const MOST_CODES: i32 = 5;

const FORGET: &str = "DELETE FROM sign_in_challenge WHERE user_id = $1 AND expires_at < $2";
const FIND: &str = "SELECT user_id, tenant_id FROM sign_in_challenge
    WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND attempts < $3";
const TRY: &str = "UPDATE sign_in_challenge SET attempts = attempts + 1
    WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND attempts < $3";
const USE: &str = "UPDATE sign_in_challenge SET used_at = $2 WHERE hash = $1 AND used_at IS NULL";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SecondFactorMethod {
    /// Six digits of an authenticator.
    Totp,
    /// One of the codes that were shown when the second factor was enabled.
    RecoveryCode,
}

/// The sign-in goes on with a code: `POST /v1/auth/second-factor`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeView {
    /// For the second call, once.
    #[schema(example = "mc_ch_…")]
    pub challenge: String,
    /// Seconds until the challenge expires.
    #[schema(example = 300)]
    pub expires_in: u64,
    /// What may be sent as `code`.
    pub methods: Vec<SecondFactorMethod>,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteSignIn {
    /// Of the first call.
    #[schema(value_type = String, example = "mc_ch_…")]
    pub challenge: SecretString,
    /// Of the authenticator, or a recovery code.
    #[schema(value_type = String, example = "287082")]
    pub code: SecretString,
}

/// A challenge for a person who proved the first factor.
pub(in crate::identity) async fn issue(
    core: &Core,
    tx: &SystemTx,
    user: Uuid,
    wanted: Option<Uuid>,
) -> Result<ChallengeView> {
    let now = core.clock.now();
    tx.execute(FORGET, vec![user.into(), now.into()]).await?;
    let (challenge, hash) = CHALLENGE.generate(&core.ids);
    let row = Model {
        hash: hash.as_bytes().to_vec(),
        user_id: user,
        tenant_id: wanted,
        attempts: 0,
        created_at: now,
        expires_at: core.clock.after(LIFETIME),
        used_at: None,
    };
    row.into_active_model().reset_all().insert(tx.connection()).await?;
    Ok(ChallengeView {
        challenge: challenge.expose_secret().to_owned(),
        expires_in: LIFETIME.as_secs(),
        methods: vec![SecondFactorMethod::Totp, SecondFactorMethod::RecoveryCode],
    })
}

/// Opens the session that the challenge stands for.
///
/// # Errors
/// 401 `invalid_challenge`, `wrong_code`; 403 `no_membership` when the person lost their place meanwhile;
/// 429 `sign_in_attempts`.
pub async fn complete(
    core: &Core,
    complete: CompleteSignIn,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<TokensView> {
    let CompleteSignIn { challenge, code } = complete;
    let refused = || CHALLENGE.invalid();
    let hash = CHALLENGE.parse(challenge.expose_secret())?;
    let system = core.db.system(Reason::SignIn);
    let found = system.query(FIND, values(core, &hash)).await?;
    let found = found.first().ok_or_else(refused)?;
    let (user, wanted): (Uuid, Option<Uuid>) =
        (found.try_get("", "user_id")?, found.try_get("", "tenant_id")?);
    let user = users::by_id(system.connection(), user).await?;
    let user = user.filter(|user| user.is_active).ok_or_else(refused)?;
    let factor = enabled(system.connection(), user.id).await?.ok_or_else(refused)?;
    let code = codes::guess(core, &factor, &code, request.ip).await?;

    let now = core.clock.now();
    let tx = system.begin().await?;
    if tx.execute(TRY, values(core, &hash)).await?.rows_affected() == 0 {
        return Err(refused());
    }
    let is_right = match &code {
        Some(code) => codes::spend(&tx, user.id, code, now).await?,
        None => false,
    };
    if is_right {
        tx.execute(USE, vec![hash.as_bytes().to_vec().into(), now.into()]).await?;
    }
    tx.commit().await?;
    if !is_right {
        if let Some(tenant) = user.tenant_id {
            failed_sign_in(core, request, tenant, user.id, "wrong_code");
        }
        return Err(Error::unauthenticated("wrong_code", "The code is wrong, or was used before."));
    }
    let tenant = entrance::open(core, request, &user, wanted).await?;
    sessions::start(core, user.id, tenant, device, request).await
}

fn values(core: &Core, hash: &Sha256Hash) -> Vec<sea_orm::Value> {
    vec![hash.as_bytes().to_vec().into(), core.clock.now().into(), MOST_CODES.into()]
}
