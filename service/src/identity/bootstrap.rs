//! The first start on an empty database: the administrator of the platform, and a tenant that they own.
//!
//! Invariant: of several nodes that start at once exactly one does it; on a database that has a person
//! nothing happens.

use entity::identity::app_user::PlatformRole;
use entity::identity::membership::Role;
use entity::identity::tenant::{self, Plan};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::users::{self, NewUser, Vouched};
use super::{memberships, tenants};
use crate::auth::passwords;
use crate::core::Core;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};

const DEFAULT_EMAIL: &str = "admin@localhost";

/// To be printed once.
pub struct FirstAdmin {
    pub email: String,
    /// The password that was made; none when the configuration gave one.
    pub password: Option<SecretString>,
    pub user: Uuid,
    pub tenant: Uuid,
}

/// `None` when somebody is there already.
///
/// # Errors
/// [`Error::Invalid`] when the configured e-mail or password breaks the rules.
pub async fn bootstrap(core: &Core) -> Result<Option<FirstAdmin>> {
    if !users::is_empty(core.db.system(Reason::People).connection()).await? {
        return Ok(None);
    }
    let email = users::fold_email(core.config.admin_email.as_deref().unwrap_or(DEFAULT_EMAIL));
    if !email.contains('@') {
        return Err(Error::invalid("MC_ADMIN_EMAIL", "email", "must be an e-mail address"));
    }
    let made = core.config.admin_password.is_none().then(|| passwords::generate(&core.ids));
    let password = made.as_ref().or(core.config.admin_password.as_ref());
    let password = SecretString::from(password.map_or("", |text| text.expose_secret()));
    let hash = users::hash_password(core, "MC_ADMIN_PASSWORD", password).await?;

    let tx = core.db.system(Reason::People).begin().await?;
    tx.lock("first start").await?;
    if !users::is_empty(tx.connection()).await? {
        return Ok(None);
    }
    // Whoever installs it for themselves shall meet no limit.
    let main = tenant::Model { plan: Plan::Enterprise, ..tenants::row(core, "Main", "main") };
    let tenant = tenants::insert(tx.connection(), main).await?;
    let admin = NewUser {
        email,
        name: Some("Administrator".to_owned()),
        password_hash: Some(hash),
        tenant: tenant.id,
        platform_role: PlatformRole::Admin,
        vouched: Vouched::ByPlatform,
    };
    let (user, _) = users::find_or_create(core, tx.connection(), admin).await?;
    memberships::insert_active(core, tx.connection(), tenant.id, user.id, Role::Owner).await?;
    let change =
        Change::of::<tenant::Entity>(tenant.id).with(json!({ "slug": tenant.slug, "owner": user.id }));
    let entry = Entry::of_platform("system", "bootstrap", tenant.id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    tx.commit().await?;
    Ok(Some(FirstAdmin { email: user.email, password: made, user: user.id, tenant: tenant.id }))
}
