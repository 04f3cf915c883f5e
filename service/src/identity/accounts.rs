//! Accounts that people have at OpenID providers: signing in with one, linking and unlinking.
//!
//! Invariants: an account is known by issuer and subject, never by its e-mail; it is linked to a person
//! who is signed in, or whose address the provider has verified, and then only while that person has no
//! other account there; the last way in cannot be unlinked; new people come by invitation, or
//! by a domain that their tenant has proved.
#![expect(clippy::disallowed_methods, reason = "accounts belong to people, not to a tenant")]

mod discovery;
mod id_tokens;
mod links;
mod providers;
mod requests;
mod sign_in;

use chrono::{DateTime, Utc};
use entity::identity::account::{Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::users;
use crate::core::Core;
use crate::crud::{Page, page};
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx, Violation, on_violation};
use crate::error::{Error, Result};

pub use discovery::Directory;
pub use links::{BeginLink, begin_link, link, unlink};
pub use providers::{OidcProviderPage, OidcProviderView, OidcSettings, Provider};
pub use requests::{OidcAnswer, OidcRequestView};
pub use sign_in::{BeginOidcSignIn, begin, sign_in};

/// Accounts of one person.
const MOST: u64 = 10;

/// An account that I sign in with.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    pub id: Uuid,
    /// Its id in `GET /v1/auth/oidc`.
    #[schema(example = "example")]
    pub provider: String,
    /// What the provider calls me.
    #[schema(example = "248289761001")]
    pub provider_account_id: String,
    /// As the provider said last.
    #[schema(required, example = "ada@example.org")]
    pub email: Option<String>,
    pub last_used_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

page!(AccountPage, AccountView);

impl From<Model> for AccountView {
    fn from(row: Model) -> Self {
        let Model {
            id,
            user_id: _,
            provider,
            issuer: _,
            provider_account_id,
            email,
            last_used_at,
            created_at,
        } = row;
        Self { id, provider, provider_account_id, email, last_used_at, created_at }
    }
}

/// Who somebody is, as a provider says.
struct Identity {
    subject: String,
    email: Option<String>,
    is_verified: bool,
    name: Option<String>,
}

/// The ways to sign in that the operator configured.
pub fn list_providers(core: &Core) -> Page<OidcProviderView> {
    let data = core.config.oidc.providers.iter().map(Provider::view).collect();
    Page { data, next_cursor: None, has_more: false, total: None }
}

/// The caller's accounts: never more than a page.
///
/// # Errors
/// 403 `person_only`.
pub async fn list(ctx: &Ctx) -> Result<Page<AccountView>> {
    let user = users::caller(ctx).await?;
    let rows = of(ctx.core.db.system(Reason::People).connection(), user.id).await?;
    let data = rows.into_iter().map(Into::into).collect();
    Ok(Page { data, next_cursor: None, has_more: false, total: None })
}

pub(super) async fn of(db: &impl ConnectionTrait, user: Uuid) -> Result<Vec<Model>> {
    Ok(Entity::find().filter(Column::UserId.eq(user)).order_by_asc(Column::Id).limit(MOST).all(db).await?)
}

/// The account of this subject, whoever has it.
async fn known(db: &impl ConnectionTrait, provider: &Provider, subject: &str) -> Result<Option<Model>> {
    let found = Entity::find()
        .filter(Column::Issuer.eq(&provider.issuer))
        .filter(Column::ProviderAccountId.eq(subject))
        .one(db)
        .await?;
    Ok(found)
}

/// # Errors
/// 409 `account_taken` when somebody else was faster.
async fn insert(
    core: &Core,
    tx: &SystemTx,
    provider: &Provider,
    user: Uuid,
    identity: &Identity,
) -> Result<Model> {
    let now = core.clock.now();
    let row = Model {
        id: core.ids.next(),
        user_id: user,
        provider: provider.id.clone(),
        issuer: provider.issuer.clone(),
        provider_account_id: identity.subject.clone(),
        email: identity.email.clone(),
        last_used_at: now,
        created_at: now,
    };
    let row = row.into_active_model().reset_all().insert(tx.connection()).await;
    row.map_err(on_violation(Violation::Unique, taken()))
}

fn provider<'a>(core: &'a Core, id: &str) -> Result<&'a Provider> {
    core.config.oidc.find(id).ok_or_else(|| Error::not_found("provider"))
}

fn taken() -> Error {
    Error::conflict("account_taken", "This account is linked to another person.")
}

fn refused(provider: &Provider, what: &str) -> Error {
    tracing::warn!(provider = provider.id, what, "an answer of an OpenID provider was refused");
    Error::unauthenticated(
        "oidc_refused",
        format!("The answer of {} is not acceptable: {what}.", provider.name),
    )
}
