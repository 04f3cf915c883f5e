//! Linking an account to oneself, and taking the link back.

use entity::identity::account::{Entity, Model};
use sea_orm::EntityTrait as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::requests::{self, Asked};
use super::{AccountView, MOST, OidcAnswer, OidcRequestView, insert, known, of, provider, taken};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::users;
use crate::notifications::mails::{self, Letter};

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeginLink {
    /// Where the provider sends me back to: one of those that the operator configured.
    #[validate(length(min = 1, max = 2048))]
    #[schema(min_length = 1, max_length = 2048, example = "https://console.example.com/sign-in/callback")]
    pub redirect_uri: String,
    /// My password, where the account has one.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, example = "correct horse battery")]
    pub password: Option<SecretString>,
}

/// # Errors
/// 403 `person_only`, `email_unverified`; 404; 409 `too_many_accounts`; 422; 429; 502.
pub async fn begin_link(ctx: &Ctx, id: &str, begin: BeginLink) -> Result<OidcRequestView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let provider = provider(core, id)?;
    if user.email_verified_at.is_none() {
        return Err(Error::denied("email_unverified", "Verify your address first."));
    }
    users::require_own_password(core, &user, begin.password).await?;
    let asked = Asked { redirect_uri: begin.redirect_uri, user: Some(user.id) };
    let (tx, view) = requests::begin(core, provider, asked).await?;
    ctx.keep_answer(&tx, &view).await?;
    tx.commit().await?;
    Ok(view)
}

/// Links the account to the caller who began it. Linking it again changes nothing.
///
/// # Errors
/// 401 `oidc_refused`; 403 `person_only`; 404; 409 `account_taken`, `too_many_accounts`; 422 at `/state`; 502.
pub async fn link(ctx: &Ctx, id: &str, answer: OidcAnswer) -> Result<AccountView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let provider = provider(core, id)?;
    let identity =
        requests::answer(core, provider, answer, Some(user.id)).await.map_err(|error| match error {
            Error::Unauthenticated { code: "invalid_oidc_state", detail } => {
                Error::invalid("/state", "invalid_oidc_state", detail)
            }
            error => error,
        })?;
    let tx = core.db.system(Reason::People).begin().await?;
    tx.lock(&format!("accounts of {}", user.id)).await?;
    if let Some(account) = known(tx.connection(), provider, &identity.subject).await? {
        if account.user_id != user.id {
            return Err(taken());
        }
        let view = AccountView::from(account);
        ctx.keep_answer(&tx, &view).await?;
        tx.commit().await?;
        return Ok(view);
    }
    if of(tx.connection(), user.id).await?.len() as u64 >= MOST {
        return Err(Error::conflict("too_many_accounts", "You have as many linked accounts as you may."));
    }
    let account = insert(core, &tx, provider, user.id, &identity).await?;
    mails::queue(core, tx.connection(), &user.email, &Letter::AccountLinked { provider: &provider.name })
        .await?;
    let linked = json!({ "linked": provider.id, "providerAccountId": identity.subject });
    let view = AccountView::from(account);
    ctx.finish(tx, Change::to("user", user.id).with(linked), &view).await?;
    Ok(view)
}

/// # Errors
/// 403 `person_only`; 404 also for another person's; 409 `last_way_in`.
pub async fn unlink(ctx: &Ctx, id: Uuid) -> Result<()> {
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    let tx = core.db.system(Reason::People).begin().await?;
    tx.lock(&format!("accounts of {}", user.id)).await?;
    let accounts = of(tx.connection(), user.id).await?;
    let account =
        accounts.iter().find(|account| account.id == id).ok_or_else(|| Error::not_found("account"))?;
    let has_password =
        users::by_id(tx.connection(), user.id).await?.is_some_and(|me| me.password_hash.is_some());
    let leads_in = |other: &&Model| other.id != id && core.config.oidc.find(&other.provider).is_some();
    if !has_password && !accounts.iter().any(|other| leads_in(&other)) {
        let message = "It is your last way in: choose a password or link another account first.";
        return Err(Error::conflict("last_way_in", message));
    }
    Entity::delete_by_id(id).exec(tx.connection()).await?;
    let provider = core.config.oidc.find(&account.provider).map_or("a provider", |known| known.name.as_str());
    mails::queue(core, tx.connection(), &user.email, &Letter::AccountUnlinked { provider }).await?;
    let unlinked = json!({ "unlinked": account.provider, "providerAccountId": account.provider_account_id });
    let _recorded = ctx.record(tx.connection(), Change::to("user", user.id).with(unlinked)).await?;
    tx.commit().await
}
