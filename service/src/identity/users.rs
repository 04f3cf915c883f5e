//! People. They stand above tenants: one e-mail, in any case, is one person.
//!
//! Invariant: a person whose e-mail is not verified acts in the tenant that made them and in no other,
//! because an administrator of that tenant chose their password.
#![expect(clippy::disallowed_methods, reason = "people belong to no tenant")]

mod activity;
mod directory;

use std::collections::BTreeMap;
use std::future::ready;

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::app_user::{Column, Entity, Model, PlatformRole};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _,
};
use secrecy::SecretString;
use uuid::Uuid;

use crate::auth::passwords;
use crate::core::Core;
use crate::ctx::{Actor, Ctx};
use crate::db::{Reason, SystemDb, SystemTx};
use crate::error::{Error, Result};

pub use activity::{deactivate, reactivate};
pub use directory::{UserFilter, UserPage, UserView, get, list};

/// Where the address of a person ends who deleted themselves, or whom a tenant erased.
pub(super) const DELETED: &str = "@deleted.invalid";
const ERASED: &str = "@invalid";

/// Nobody any more.
fn is_gone(user: &Model) -> bool {
    user.email.ends_with(DELETED) || user.email.ends_with(ERASED)
}

/// How e-mails are stored and compared.
pub fn fold_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// How long after signing in a person without a password may do what others give theirs for.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// Of a name that a provider gives.
pub const LONGEST_NAME: usize = 120;

pub async fn by_id(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

/// `email` is folded.
pub async fn by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<Model>> {
    Ok(Entity::find().filter(Column::Email.eq(email)).one(db).await?)
}

pub async fn by_ids(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<BTreeMap<Uuid, Model>> {
    let found = Entity::find().filter(Column::Id.is_in(ids)).all(db).await?;
    Ok(found.into_iter().map(|user| (user.id, user)).collect())
}

pub async fn is_empty(db: &impl ConnectionTrait) -> Result<bool> {
    Ok(Entity::find().one(db).await?.is_none())
}

/// A person to be, whose password was hashed before any transaction was opened.
pub struct NewUser {
    pub email: String,
    pub name: Option<String>,
    pub password_hash: Option<String>,
    /// The default tenant.
    pub tenant: Uuid,
    pub platform_role: PlatformRole,
    pub vouched: Vouched,
}

/// Who says that the e-mail is the person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    ByPlatform,
    ByNobody,
}

/// # Errors
/// 403 `email_unverified`.
pub fn require_may_join(user: &Model, tenant: Uuid) -> Result<()> {
    if user.email_verified_at.is_some() || user.tenant_id == Some(tenant) {
        return Ok(());
    }
    Err(Error::denied("email_unverified", "Your e-mail is not verified: you act in your first tenant only."))
}

/// The person with that e-mail: the one there is, untouched, or a new one; and whether it is new.
pub async fn find_or_create(
    core: &Core,
    transaction: &impl ConnectionTrait,
    user: NewUser,
) -> Result<(Model, bool)> {
    let NewUser { email, name, password_hash, tenant, platform_role, vouched } = user;
    let now = core.clock.now();
    let row = Model {
        id: core.ids.next(),
        email: email.clone(),
        name,
        image: None,
        tenant_id: Some(tenant),
        platform_role,
        is_active: true,
        password_hash,
        deactivated_at: None,
        terms_version: None,
        terms_accepted_at: None,
        privacy_version: None,
        privacy_accepted_at: None,
        email_verified_at: (vouched == Vouched::ByPlatform).then_some(now),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let id = row.id;
    // A second creator of the same person waits here for the first, and then finds theirs.
    Entity::insert(row.into_active_model().reset_all())
        .on_conflict(OnConflict::column(Column::Email).do_nothing().to_owned())
        .exec_without_returning(transaction)
        .await?;
    let user = by_email(transaction, &email)
        .await?
        .ok_or_else(|| Error::internal("a person is gone after their creation"))?;
    let is_new = user.id == id;
    Ok((user, is_new))
}

/// The hash of a password that a body gives at `pointer`.
pub async fn hash_password(core: &Core, pointer: &str, password: SecretString) -> Result<String> {
    passwords::rules(pointer, &password).map_err(|error| Error::Invalid { errors: vec![error] })?;
    core.passwords.hash(password).await
}

/// The person who calls.
///
/// # Errors
/// 403 `person_only` for an API key.
pub async fn caller(ctx: &Ctx) -> Result<Model> {
    let Actor::User { id } = ctx.actor else {
        return Err(Error::denied("person_only", "An API key may not do this: sign in."));
    };
    by_id(people(ctx).connection(), id).await?.ok_or_else(|| Error::not_found("user"))
}

fn people(ctx: &Ctx) -> SystemDb {
    ctx.core.db.system(Reason::People)
}

/// That it is the person, and not somebody at their unlocked screen: their password, or, where the account has
/// none, that the session was opened a moment ago, by whatever way they sign in.
///
/// # Errors
/// 403 `fresh_sign_in_required`; 422 at `pointer`; 429 `sign_in_attempts`.
pub async fn require_presence(
    ctx: &Ctx,
    user: &Model,
    password: Option<SecretString>,
    pointer: &str,
) -> Result<()> {
    match (&user.password_hash, password) {
        (Some(_), Some(password)) => require_password(&ctx.core, user, password, pointer).await,
        (Some(_), None) => Err(Error::invalid(pointer, "required", "Send your password as well.")),
        (None, _) => require_fresh(ctx).await,
    }
}

async fn require_fresh(ctx: &Ctx) -> Result<()> {
    let sql = "SELECT id FROM session WHERE id = $1 AND revoked_at IS NULL AND created_at > $2";
    let since = ctx.core.clock.now() - FRESH;
    let session = ctx.session.unwrap_or_default();
    if !people(ctx).query(sql, vec![session.into(), since.into()]).await?.is_empty() {
        return Ok(());
    }
    let message = "Your account has no password: sign in again, and repeat this within ten minutes.";
    Err(Error::denied("fresh_sign_in_required", message))
}

/// Guesses are counted with those of signing in.
///
/// # Errors
/// 422 at `pointer`; 429 `sign_in_attempts`.
async fn require_password(core: &Core, user: &Model, password: SecretString, pointer: &str) -> Result<()> {
    // Who is signed in is not held back by what strangers try.
    let attempt = core.sign_ins.attempt(&user.email, None, ready(Ok(true))).await?;
    match core.passwords.verify(password, user.password_hash.as_deref()).await {
        Ok(true) => {
            attempt.succeeded().await;
            Ok(())
        }
        Ok(false) => Err(Error::invalid(pointer, "wrong_password", "This is not your password.")),
        Err(error) => {
            attempt.give_back().await;
            Err(error)
        }
    }
}

/// As [`require_password`] at `/password`, of an account that has one.
pub async fn require_own_password(core: &Core, user: &Model, password: Option<SecretString>) -> Result<()> {
    match (&user.password_hash, password) {
        (None, _) => Ok(()),
        (Some(_), Some(password)) => require_password(core, user, password, "/password").await,
        (Some(_), None) => Err(Error::invalid("/password", "required", "Send your password as well.")),
    }
}

pub async fn set_password(tx: &SystemTx, user: Uuid, hash: &str, now: DateTime<Utc>) -> Result<()> {
    let sql =
        "UPDATE app_user SET password_hash = $2, updated_at = $3, revision = revision + 1 WHERE id = $1";
    tx.execute(sql, vec![user.into(), hash.into(), now.into()]).await?;
    Ok(())
}

/// From now on; one that was verified before stays so.
pub async fn set_verified(tx: &SystemTx, user: Uuid, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE app_user SET email_verified_at = $2, updated_at = $2, revision = revision + 1
        WHERE id = $1 AND email_verified_at IS NULL";
    tx.execute(sql, vec![user.into(), now.into()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_are_compared_in_one_case() {
        assert_eq!(fold_email(" Ada@Example.ORG "), fold_email("ada@example.org"));
    }
}
