//! Sessions and their refresh tokens as rows. Every change is one statement whose condition is the
//! whole precondition; locks are taken in the order token, session.
#![expect(clippy::disallowed_methods, reason = "sessions belong to people, not to a tenant")]

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::{refresh_token, session};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::{entrance, user_devices};
use crate::auth::access_tokens::Subject;
use crate::auth::opaque::{REFRESH_TOKEN, Sha256Hash};
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::Result;
use crate::governance::audit_logs::{Change, Entry, append};
use crate::identity::users;

const KIND: &str = "session";
/// A session ends this long after its password was given, however often it was refreshed.
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Live sessions of one person; opening more ends the one that was quiet the longest.
const MOST_SESSIONS: i64 = 50;
/// Used tokens are remembered for the session's life, to notice that one is used again: a session that
/// used more has ended. An access token of ten minutes needs 4,320 in a session's lifetime.
const MOST_ROTATIONS: i64 = 5000;
/// How long the row of an ended session is kept.
const ENDED_KEPT: TimeDelta = TimeDelta::hours(1);

const END_SURPLUS: &str = "UPDATE session SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL
    AND id NOT IN (SELECT id FROM session WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
                   ORDER BY last_seen_at DESC, id DESC LIMIT $3)";
const FORGET_TOKENS: &str = "DELETE FROM refresh_token WHERE session_id IN
    (SELECT id FROM session WHERE user_id = $1 AND revoked_at < $2)";
const FORGET_SESSIONS: &str = "DELETE FROM session WHERE user_id = $1 AND revoked_at < $2";

const USE: &str = "UPDATE refresh_token SET used_at = $2 WHERE hash = $1 AND used_at IS NULL
    AND session_id IN (SELECT id FROM session WHERE revoked_at IS NULL AND expires_at > $2)
    RETURNING session_id";
const MOVE: &str =
    "UPDATE session SET last_seen_at = $2, tenant_id = $3 WHERE id = $1 AND revoked_at IS NULL";
const COUNT_USED: &str =
    "SELECT COUNT(*) AS used FROM refresh_token WHERE session_id = $1 AND used_at IS NOT NULL";
const END: &str = "UPDATE session SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL
    RETURNING user_id, tenant_id";
const END_OTHERS: &str =
    "UPDATE session SET revoked_at = $3 WHERE user_id = $1 AND revoked_at IS NULL AND id <> $2";

const FORGET_CHALLENGES: &str = "DELETE FROM sign_in_challenge WHERE user_id = $1";

/// A new session and its first refresh token.
pub async fn start(
    core: &Core,
    user: Uuid,
    tenant: Uuid,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<(Uuid, SecretString)> {
    let now = core.clock.now();
    let row = session::Model {
        id: core.ids.next(),
        user_id: user,
        tenant_id: tenant,
        device,
        ip: request.ip.map(|ip| ip.to_string()),
        created_at: now,
        last_seen_at: now,
        expires_at: core.clock.after(LIFETIME),
        revoked_at: None,
    };
    let ip = row.ip.clone();
    let (id, device_name, expires_at) = (row.id, row.device.clone(), row.expires_at);
    let tx = core.db.system(Reason::SignIn).begin().await?;
    tx.lock(&format!("sessions of {user}")).await?;
    tx.execute(END_SURPLUS, vec![user.into(), now.into(), (MOST_SESSIONS - 1).into()]).await?;
    for forget in [FORGET_TOKENS, FORGET_SESSIONS] {
        tx.execute(forget, vec![user.into(), (now - ENDED_KEPT).into()]).await?;
    }
    row.into_active_model().reset_all().insert(tx.connection()).await?;
    let token = add_token(core, &tx, id).await?;
    user_devices::note(core, &tx, user, device_name.as_deref(), ip.as_deref(), now).await?;
    let change = Change::to(KIND, id).with(json!({ "device": device_name, "expiresAt": expires_at }));
    let _recorded = append(core, tx.connection(), Entry::of_person(request, tenant, user, change)).await?;
    tx.commit().await?;
    Ok((id, token))
}

/// Uses a token up and gives the next one of its session.
///
/// A token that was used before this request began is stolen, or was copied: its session ends. A
/// request that was already under way when another one used the token only lost a race.
pub async fn rotate(
    core: &Core,
    used: &Sha256Hash,
    wanted: Option<Uuid>,
    request: &RequestInfo,
) -> Result<(Subject, SecretString)> {
    let began = core.clock.now();
    let hash = used.as_bytes().to_vec();
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let now = core.clock.now();
    let rows = tx.query(USE, vec![hash.clone().into(), now.into()]).await?;
    let Some(row) = rows.first() else {
        let known = refresh_token::Entity::find_by_id(hash).one(tx.connection()).await?;
        let reused = known.filter(|token| token.used_at.is_some_and(|at| at <= began));
        tx.commit().await?;
        if let Some(token) = reused {
            tracing::warn!(session = %token.session_id, "a refresh token was used again: its session ends");
            end(core, token.session_id, "a refresh token was used again", request).await?;
        }
        return Err(REFRESH_TOKEN.invalid());
    };
    let id: Uuid = row.try_get("", "session_id")?;
    let refused = || REFRESH_TOKEN.invalid();
    let session = session::Entity::find_by_id(id).one(tx.connection()).await?.ok_or_else(refused)?;
    let user = users::by_id(tx.connection(), session.user_id).await?;
    let user = user.filter(|user| user.is_active).ok_or_else(refused)?;
    let tenant = wanted.unwrap_or(session.tenant_id);
    entrance::go_on(tx.connection(), &user, session.tenant_id, tenant).await?;
    let moved = tx.execute(MOVE, vec![id.into(), now.into(), tenant.into()]).await?;
    if moved.rows_affected() == 0 {
        return Err(refused());
    }
    let counted = tx.query(COUNT_USED, vec![id.into()]).await?;
    let used: i64 = counted.first().ok_or_else(refused)?.try_get("", "used")?;
    if used > MOST_ROTATIONS {
        tx.commit().await?;
        tracing::warn!(session = %id, "a session was refreshed too often: it ends");
        end(core, id, "refreshed too often", request).await?;
        return Err(refused());
    }
    let token = add_token(core, &tx, id).await?;
    if tenant != session.tenant_id {
        let change = Change::to(KIND, id).with(json!({ "enteredFrom": session.tenant_id }));
        let _recorded =
            append(core, tx.connection(), Entry::of_person(request, tenant, user.id, change)).await?;
    }
    tx.commit().await?;
    Ok((Subject { user: user.id, tenant, session: id }, token))
}

pub async fn session_of(core: &Core, token: &Sha256Hash) -> Result<Option<Uuid>> {
    let db = core.db.system(Reason::SignIn);
    let found = refresh_token::Entity::find_by_id(token.as_bytes().to_vec()).one(db.connection()).await?;
    Ok(found.map(|token| token.session_id))
}

/// Ends a session with everything that came of it: at once on this node, within a second on others.
pub async fn end(core: &Core, session: Uuid, why: &str, request: &RequestInfo) -> Result<()> {
    let tx = core.db.system(Reason::SignIn).begin().await?;
    if let Some(ended) = tx.query(END, vec![session.into(), core.clock.now().into()]).await?.first() {
        let (user, tenant) = (ended.try_get("", "user_id")?, ended.try_get("", "tenant_id")?);
        let change = Change::to(KIND, session).with(json!({ "ended": why }));
        let _recorded =
            append(core, tx.connection(), Entry::of_person(request, tenant, user, change)).await?;
    }
    tx.commit().await?;
    core.principals.clear();
    Ok(())
}

/// Ends a person's sessions but the one named, and sign-ins that wait for a second factor, within the
/// transaction that takes their reason away. Clear the cached principals after its commit.
pub async fn end_all(tx: &SystemTx, user: Uuid, but: Option<Uuid>, now: DateTime<Utc>) -> Result<()> {
    tx.execute(END_OTHERS, vec![user.into(), but.unwrap_or_default().into(), now.into()]).await?;
    tx.execute(FORGET_CHALLENGES, vec![user.into()]).await?;
    Ok(())
}

async fn add_token(core: &Core, tx: &SystemTx, session: Uuid) -> Result<SecretString> {
    let (secret, hash) = REFRESH_TOKEN.generate(&core.ids);
    let row = refresh_token::Model {
        hash: hash.as_bytes().to_vec(),
        session_id: session,
        created_at: core.clock.now(),
        used_at: None,
    };
    row.into_active_model().reset_all().insert(tx.connection()).await?;
    Ok(secret)
}
