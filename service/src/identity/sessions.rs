//! Signing in with a password, staying signed in with rotating refresh tokens, signing out.
//!
//! Invariants: a refresh token works once, and using an old one again ends its session; an unknown
//! person, a wrong password and an inactive person cannot be told apart, by answer or by work.

pub(super) mod entrance;
pub(super) mod familiar;
pub(super) mod rotation;
pub mod throttle;
mod user_devices;

use entity::identity::app_user;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use self::familiar::{Account, is_familiar};
use super::second_factors::{self, ChallengeView};
use super::{users, verification_tokens};
use crate::auth::access_tokens::{LIFETIME_SECONDS, Subject};
use crate::auth::opaque::{REFRESH_TOKEN, Sha256Hash};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::failed_sign_in;

const LONGEST_DEVICE: usize = 200;
const SIGNED_OUT: &str = "signed out";

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// In any case.
    #[validate(length(min = 1, max = 254))]
    #[schema(min_length = 1, max_length = 254, example = "ada@example.org")]
    pub email: String,
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    pub password: SecretString,
    /// The tenant to act in; without it the person's default tenant, else the first they belong to.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refresh {
    /// The last refresh token of the session; it works once.
    #[schema(value_type = String, example = "mc_rt_…")]
    pub refresh_token: SecretString,
    /// Another tenant of the same person to go on in; without it the session's.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
}

#[derive(Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logout {
    /// Ends the session of this token; without it, the session of the access token sent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<SecretString>,
}

/// A pair of tokens, shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensView {
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// For the next refresh, once.
    pub refresh_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(example = 600)]
    pub expires_in: i64,
    /// The tenant that these tokens act in.
    pub tenant_id: Uuid,
}

/// What signing in leads to.
pub enum SignedIn {
    Tokens(TokensView),
    /// The person has a second factor.
    Challenge(ChallengeView),
}

/// Opens a session, or asks for the second factor; `device` is the `User-Agent`.
///
/// # Errors
/// 401 `wrong_credentials`; 403 `no_membership` for a person who has no place in the tenant; 429
/// `sign_in_attempts` after too many failures.
pub async fn login(
    core: &Core,
    login: Login,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<SignedIn> {
    let Login { email, password, tenant_id } = login;
    let email = users::fold_email(&email);
    let familiar = is_familiar(core, Account::Email(&email), request.ip);
    let attempt = core.sign_ins.attempt(&email, request.ip, familiar).await?;
    let user = users::by_email(core.db.system(Reason::SignIn).connection(), &email).await?;
    let user = user.filter(|user| user.is_active);
    let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
    match core.passwords.verify(password, hash).await {
        Ok(true) => attempt.succeeded().await,
        Ok(false) => {
            if let Some((user, tenant)) = user.and_then(|user| Some((user.id, user.tenant_id?))) {
                failed_sign_in(core, request, tenant, user, "wrong_credentials");
            }
            return Err(wrong_credentials());
        }
        Err(error) => {
            attempt.give_back().await;
            return Err(error);
        }
    }
    let user = user.ok_or_else(wrong_credentials)?;
    go_on(core, &user, None, tenant_id, device, request).await
}

/// What follows the first factor, whichever it was: the second one, where the person has it, or a session
/// in the tenant `wanted`. A `link` that proved the first factor is used up once the person is known to
/// have a place there.
pub(super) async fn go_on(
    core: &Core,
    user: &app_user::Model,
    link: Option<&Sha256Hash>,
    wanted: Option<Uuid>,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<SignedIn> {
    let system = core.db.system(Reason::SignIn);
    if second_factors::enabled(system.connection(), user.id).await?.is_some() {
        entrance::find(core, user, wanted).await?;
        let tx = system.begin().await?;
        use_up(core, &tx, link).await?;
        let challenge = second_factors::issue(core, &tx, user.id, wanted).await?;
        tx.commit().await?;
        return Ok(SignedIn::Challenge(challenge));
    }
    let tenant = entrance::open(core, request, user, wanted).await?;
    if link.is_some() {
        let tx = system.begin().await?;
        use_up(core, &tx, link).await?;
        tx.commit().await?;
    }
    Ok(SignedIn::Tokens(start(core, user.id, tenant, device, request).await?))
}

async fn use_up(core: &Core, tx: &SystemTx, link: Option<&Sha256Hash>) -> Result<()> {
    match link {
        Some(link) => verification_tokens::use_link(core, tx, link).await,
        None => Ok(()),
    }
}

/// Opens a session for a person who has proved who they are and may enter the tenant.
pub(super) async fn start(
    core: &Core,
    user: Uuid,
    tenant: Uuid,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<TokensView> {
    let device = device.map(|name| name.chars().take(LONGEST_DEVICE).collect());
    let (session, token) = rotation::start(core, user, tenant, device, request).await?;
    tokens(core, Subject { user, tenant, session }, &token)
}

/// Exchanges a refresh token for the next pair. Of several requests with the same token one wins.
///
/// # Errors
/// 401 `invalid_refresh_token`; 403 `no_membership`, which leaves the token usable.
pub async fn refresh(core: &Core, refresh: Refresh, request: &RequestInfo) -> Result<TokensView> {
    let Refresh { refresh_token, tenant_id } = refresh;
    let used = REFRESH_TOKEN.parse(refresh_token.expose_secret())?;
    let (subject, next) = rotation::rotate(core, &used, tenant_id, request).await?;
    tokens(core, subject, &next)
}

/// Ends the session of the given refresh token, else the caller's. A token that is not valid has no
/// session to end, and that is no error.
pub async fn logout(core: &Core, logout: Logout, caller: Option<Uuid>, request: &RequestInfo) -> Result<()> {
    let session = match logout.refresh_token {
        None => Some(caller.ok_or_else(|| {
            Error::unauthenticated("no_session", "Send a refresh token, or the access token of a session.")
        })?),
        Some(token) => match REFRESH_TOKEN.parse(token.expose_secret()) {
            Ok(hash) => rotation::session_of(core, &hash).await?,
            Err(_) => None,
        },
    };
    if let Some(session) = session {
        rotation::end(core, session, SIGNED_OUT, request).await?;
    }
    Ok(())
}

fn tokens(core: &Core, subject: Subject, refresh_token: &SecretString) -> Result<TokensView> {
    Ok(TokensView {
        access_token: core.access_tokens.issue(subject, &core.ids, core.clock.now())?,
        refresh_token: refresh_token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: LIFETIME_SECONDS,
        tenant_id: subject.tenant,
    })
}

fn wrong_credentials() -> Error {
    Error::unauthenticated("wrong_credentials", "The e-mail or the password is wrong.")
}
