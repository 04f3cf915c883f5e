//! The signed-in person's own account: profile, password, devices, data, and its end.
//!
//! Invariants: only the person themselves, signed in, and for what cannot be undone with their password;
//! a tenant keeps an active owner, and the platform an administrator, also when people leave.

mod consents;
pub(super) mod departure;
mod devices;
mod export;

use chrono::{DateTime, Utc};
use entity::identity::app_user::{Model, PlatformRole};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::sessions::{entrance, rotation};
use super::users;
use crate::crud::{Expected, Patch, patch};
use crate::ctx::Ctx;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::notifications::mails::{self, Letter};
use crate::notifications::notify::{Notice, notify};

pub use consents::{AcceptDocument, ConsentDocument, ConsentView, ConsentsView, accept};
pub use departure::{DeleteMe, delete};
pub use devices::{KnownSessionView, MySessionPage, MySessionView, end_session, list_sessions};
pub use export::{MyDataView, MyDeviceView, MyKeyView, export};

const UPDATE: &str = "UPDATE app_user SET name = $3, image = $4, tenant_id = $5, updated_at = $6,
    revision = revision + 1 WHERE id = $1 AND revision = $2 AND is_active";

/// A person's own account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeView {
    pub id: Uuid,
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// Null until the person has proved that the address is theirs.
    #[schema(required)]
    pub email_verified_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub name: Option<String>,
    /// The address of a picture.
    #[schema(required)]
    pub image: Option<String>,
    /// The tenant that is entered when none is named.
    #[schema(required)]
    pub tenant_id: Option<Uuid>,
    pub platform_role: PlatformRole,
    pub consents: ConsentsView,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<Model> for MeView {
    fn from(row: Model) -> Self {
        let Model {
            id,
            email,
            name,
            image,
            tenant_id,
            platform_role,
            is_active: _,
            password_hash: _,
            email_verified_at,
            deactivated_at: _,
            terms_version,
            terms_accepted_at,
            privacy_version,
            privacy_accepted_at,
            revision,
            created_at,
            updated_at,
        } = row;
        Self {
            id,
            email,
            email_verified_at,
            name,
            image,
            tenant_id,
            platform_role,
            consents: ConsentsView {
                terms: ConsentView::of(terms_version, terms_accepted_at),
                privacy: ConsentView::of(privacy_version, privacy_accepted_at),
            },
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateMe {
    #[serde(default)]
    #[validate(length(min = 1, max = 120))]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 120, example = "Ada Lovelace")]
    pub name: Patch<String>,
    /// An `https` address.
    #[serde(default)]
    #[validate(length(max = 2048))]
    #[schema(value_type = Option<String>, format = Uri, max_length = 2048, example = "https://example.org/ada.png")]
    pub image: Patch<String>,
    /// A tenant that one belongs to.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub tenant_id: Option<Uuid>,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePassword {
    /// Where the account has one; else a sign-in of the last ten minutes is needed.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, example = "correct horse battery")]
    pub current_password: Option<SecretString>,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 128, example = "a ship in port is safe")]
    pub new_password: SecretString,
}

/// # Errors
/// 403 `person_only`.
pub async fn get(ctx: &Ctx) -> Result<MeView> {
    Ok(users::caller(ctx).await?.into())
}

/// # Errors
/// 403 `person_only`; 409 `concurrent_update`; 412; 422.
pub async fn update(ctx: &Ctx, expected: Expected, update: UpdateMe) -> Result<MeView> {
    let UpdateMe { name, image, tenant_id } = update;
    let is_https = |text: &String| url::Url::parse(text).is_ok_and(|url| url.scheme() == "https");
    if !image.as_set().is_none_or(is_https) {
        return Err(Error::invalid("/image", "url", "must be an https address"));
    }
    let user = users::caller(ctx).await?;
    expected.check(user.revision)?;
    let now = ctx.core.clock.now();
    let tx = ctx.core.db.system(Reason::People).begin().await?;
    if let Some(tenant) = tenant_id
        && !entrance::is_member(tx.connection(), user.id, tenant).await?
    {
        return Err(Error::invalid("/tenantId", "not_found", "There is no such tenant."));
    }
    let mut changed = user.clone();
    changed.name = name.over(changed.name);
    changed.image = image.over(changed.image);
    changed.tenant_id = tenant_id.or(changed.tenant_id);
    if changed == user {
        return Ok(user.into());
    }
    let changed = Model { revision: user.revision + 1, updated_at: now, ..changed };
    let Model { name, image, tenant_id, .. } = changed.clone();
    let values =
        vec![user.id.into(), user.revision.into(), name.into(), image.into(), tenant_id.into(), now.into()];
    if tx.execute(UPDATE, values).await?.rows_affected() == 0 {
        return Err(Error::conflict(
            "concurrent_update",
            "Your account is being changed elsewhere: try again.",
        ));
    }
    let fields = json!({ "name": changed.name, "image": changed.image, "tenantId": changed.tenant_id });
    let _recorded = ctx.record(tx.connection(), Change::to("user", user.id).with(fields)).await?;
    tx.commit().await?;
    Ok(changed.into())
}

/// Changes the password, or chooses the first one, and ends the person's other sessions.
///
/// # Errors
/// 403 `person_only`, `fresh_sign_in_required`; 422 at `/currentPassword` or `/newPassword`; 429 `sign_in_attempts`.
pub async fn change_password(ctx: &Ctx, change: ChangePassword) -> Result<()> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let ChangePassword { current_password, new_password } = change;
    let (core, user) = (&ctx.core, users::caller(ctx).await?);
    users::require_presence(ctx, &user, current_password, "/currentPassword").await?;
    let hash = users::hash_password(core, "/newPassword", new_password).await?;
    let now = core.clock.now();
    let tx = core.db.system(Reason::People).begin().await?;
    users::set_password(&tx, user.id, &hash, now).await?;
    rotation::end_all(&tx, user.id, ctx.session, now).await?;
    mails::queue(core, tx.connection(), &user.email, &Letter::PasswordChanged).await?;
    notify(core, tx.connection(), &[user.id], &Notice::password_changed()).await?;
    let changed = Change::to("user", user.id).with(json!({ "passwordChanged": true }));
    ctx.finish(tx, changed, &()).await?;
    core.principals.clear();
    Ok(())
}
