//! Signing in with an account elsewhere.

use entity::identity::account;
use entity::identity::app_user;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::requests::{self, Asked};
use super::{Identity, OidcAnswer, OidcRequestView, Provider, insert, known, of, provider};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};
use crate::identity::sessions::{self, SignedIn, rotation};
use crate::identity::{team_invites, tenant_domains, users, verification_tokens};

const SEEN: &str = "UPDATE account SET last_used_at = $2, email = $3 WHERE id = $1";
const DROP_PASSWORD: &str = "UPDATE app_user SET password_hash = NULL, updated_at = $2,
    revision = revision + 1 WHERE id = $1";

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginOidcSignIn {
    /// Where the provider sends the person back to: one of those that the operator configured.
    #[validate(length(min = 1, max = 2048))]
    #[schema(min_length = 1, max_length = 2048, example = "https://console.example.com/sign-in/callback")]
    pub redirect_uri: String,
}

/// # Errors
/// 404; 422 at `/redirectUri`; 502.
pub async fn begin(core: &Core, id: &str, begin: BeginOidcSignIn) -> Result<OidcRequestView> {
    let asked = Asked { redirect_uri: begin.redirect_uri, user: None };
    let (tx, view) = requests::begin(core, provider(core, id)?, asked).await?;
    tx.commit().await?;
    Ok(view)
}

/// Opens a session in the person's default tenant, or asks for the second factor, which the provider's word does not replace.
///
/// # Errors
/// 401 `invalid_oidc_state`, `oidc_refused`; 403 `oidc_email_unverified`, `oidc_unknown_person`,
/// `oidc_other_account`, `no_membership`; 404; 502.
pub async fn sign_in(
    core: &Core,
    id: &str,
    answer: OidcAnswer,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<SignedIn> {
    let provider = provider(core, id)?;
    let identity = requests::answer(core, provider, answer, None).await?;
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let user = person(core, &tx, provider, &identity, request).await?;
    tx.commit().await?;
    core.principals.clear();
    sessions::go_on(core, &user, None, None, device, request).await
}

async fn person(
    core: &Core,
    tx: &SystemTx,
    provider: &Provider,
    identity: &Identity,
    request: &RequestInfo,
) -> Result<app_user::Model> {
    if let Some(account) = known(tx.connection(), provider, &identity.subject).await? {
        return returning(core, tx, account, identity).await;
    }
    let Some(email) = identity.email.as_deref().filter(|_| identity.is_verified) else {
        let message =
            "The provider does not vouch for your e-mail: sign in another way, then link the account.";
        return Err(Error::denied("oidc_email_unverified", message));
    };
    let email = users::fold_email(email);
    tx.lock(&format!("account of {email}")).await?;
    let user = match users::by_email(tx.connection(), &email).await? {
        Some(user) => adopt(core, tx, provider, user).await?,
        None => {
            let name = identity.name.as_deref();
            match team_invites::accept_verified(core, tx, &email, name, request).await? {
                Some(user) => user,
                None => tenant_domains::join(core, tx, &email, name, request).await?.ok_or_else(unknown)?,
            }
        }
    };
    insert(core, tx, provider, user.id, identity).await?;
    if let Some(tenant) = user.tenant_id {
        let linked = json!({ "linked": provider.id, "providerAccountId": identity.subject });
        let entry = Entry::of_person(request, tenant, user.id, Change::to("user", user.id).with(linked));
        let _recorded = append(core, tx.connection(), entry).await?;
    }
    Ok(user)
}

async fn returning(
    core: &Core,
    tx: &SystemTx,
    account: account::Model,
    identity: &Identity,
) -> Result<app_user::Model> {
    let user = users::by_id(tx.connection(), account.user_id).await?;
    let user = user.filter(|user| user.is_active).ok_or_else(unknown)?;
    let values = vec![account.id.into(), core.clock.now().into(), identity.email.clone().into()];
    tx.execute(SEEN, values).await?;
    Ok(user)
}

/// Gives a person of ours their account. One whose address nobody had proved may have been planted by
/// somebody who knows the password: it does not outlive the proof.
async fn adopt(
    core: &Core,
    tx: &SystemTx,
    provider: &Provider,
    user: app_user::Model,
) -> Result<app_user::Model> {
    if !user.is_active {
        return Err(unknown());
    }
    let accounts = of(tx.connection(), user.id).await?;
    if accounts.iter().any(|account| account.issuer == provider.issuer) {
        let message = "Your address is that of a person with another account there: sign in another way, \
                       then link this one.";
        return Err(Error::denied("oidc_other_account", message));
    }
    if user.email_verified_at.is_none() {
        let now = core.clock.now();
        tx.execute(DROP_PASSWORD, vec![user.id.into(), now.into()]).await?;
        users::set_verified(tx, user.id, now).await?;
        verification_tokens::spend_all(core, tx, user.id).await?;
        rotation::end_all(tx, user.id, None, now).await?;
    }
    users::by_id(tx.connection(), user.id).await?.ok_or_else(unknown)
}

fn unknown() -> Error {
    Error::denied("oidc_unknown_person", "Nobody has invited you: ask for an invitation to your address.")
}
