//! What the operator at the command line may do to people: who holds the database holds this anyway.

use secrecy::SecretString;

use super::sessions::rotation;
use super::users;
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, append};

/// Gives a person another password and ends their sessions. `false` when there is no such person.
///
/// # Errors
/// [`crate::error::Error::Invalid`] for a password that breaks the rules.
pub async fn set_password(core: &Core, email: &str, password: SecretString) -> Result<bool> {
    let hash = users::hash_password(core, "password", password).await?;
    let now = core.clock.now();
    let tx = core.db.system(Reason::People).begin().await?;
    let sql =
        "UPDATE app_user SET password_hash = $1, updated_at = $2 WHERE email = $3 RETURNING id, tenant_id";
    let values = vec![hash.into(), now.into(), users::fold_email(email).into()];
    let Some(row) = tx.query(sql, values).await?.into_iter().next() else { return Ok(false) };
    let user: uuid::Uuid = row.try_get("", "id")?;
    rotation::end_all(&tx, user, None, now).await?;
    if let Some(tenant) = row.try_get("", "tenant_id")? {
        let entry = Entry::of_platform("operator", "set_password", tenant, Change::to("user", user));
        let _recorded = append(core, tx.connection(), entry).await?;
    }
    tx.commit().await?;
    core.principals.clear();
    Ok(true)
}
