//! Making a key: whatever limits its maker limits the key.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use entity::agents::agent;
use entity::identity::api_key::{Entity, Model};
use sea_orm::{ColumnTrait as _, Condition};
use secrecy::ExposeSecret as _;
use serde_json::json;
use uuid::Uuid;

use super::{CreateApiKey, CreatedApiKey};
use crate::auth::api_keys::{API_KEY, ApiKeySecret};
use crate::auth::networks::Networks;
use crate::auth::permissions;
use crate::auth::scopes::Scopes;
use crate::crud::{Once, metadata};
use crate::ctx::{Actor, Ctx};
use crate::db::{Reason, TenantTx};
use crate::error::{Error, FieldError, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::{self, Quota};
use crate::identity::workspaces;
use crate::notifications::notify::{Notice, notify};

/// Before a key ends its maker is told: so long, or a quarter of its life.
const WARNED_BEFORE: TimeDelta = TimeDelta::days(7);

/// # Errors
/// 422 at each scope that the caller does not hold, at each agent that there is not, and at each network
/// that the caller's own key may not be used from; 403 `quota_exceeded`.
pub async fn create(ctx: &Ctx, create: CreateApiKey) -> Result<CreatedApiKey> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateApiKey { name, scopes, workspace_id, agent_ids, ip_allow_list, expires_at, metadata } = create;
    if agent_ids.is_some() {
        require_of_agents(&scopes)?;
    }
    let scopes = ctx.rights.grant(&scopes)?;
    let workspace_id = workspaces::admit(ctx, workspace_id).await?;
    let networks = Networks::parse(&ip_allow_list)?;
    let now = ctx.core.clock.now();
    let created_by = ctx.actor.user().ok_or_else(|| API_KEY.invalid())?;
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid("/expiresAt", "past", "must be in the future"));
    }
    let (networks, expires_at) = match ctx.actor {
        Actor::ApiKey { id, .. } => {
            let own = tx.get::<Entity>(id).await?.ok_or_else(|| API_KEY.invalid())?;
            (within(networks, own.ip_allow_list)?, expires_at.into_iter().chain(own.expires_at).min())
        }
        Actor::User { .. } | Actor::ClientToken { .. } | Actor::Automation { .. } | Actor::System => {
            (networks, expires_at)
        }
    };
    let agent_ids = match agent_ids {
        None => None,
        Some(ids) => Some(existing(&tx, ids).await?),
    };
    tenant_limits::admit(ctx, &tx, Quota::ApiKeys).await?;
    let secret = ApiKeySecret::generate(&ctx.core.ids);
    let row = Model {
        workspace_id,
        agent_ids: agent_ids.map(|ids| json!(ids)),
        ip_allow_list: json!(networks.names()),
        metadata: metadata::stored(metadata),
        ..new_key(ctx, name, &scopes, &secret, created_by, expires_at)
    };
    let row = tx.insert::<Entity>(row).await?;
    let created = CreatedApiKey { key: secret.secret.expose_secret().to_owned(), api_key: row.into() };
    let notice = Notice::key_created(ctx.tenant, created.api_key.id, &created.api_key.name);
    notify(&ctx.core, tx.system(Reason::People), &[created_by], &notice).await?;
    let change = Change::created::<Entity>(created.api_key.id, &created.api_key);
    tx.finish(change, &created).await?;
    Ok(created)
}

fn new_key(
    ctx: &Ctx,
    name: String,
    scopes: &Scopes,
    secret: &ApiKeySecret,
    created_by: Uuid,
    expires_at: Option<DateTime<Utc>>,
) -> Model {
    let now = ctx.core.clock.now();
    Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id: None,
        name,
        prefix: secret.prefix.clone(),
        last4: secret.last4.clone(),
        hash: secret.hash.as_bytes().to_vec(),
        scopes: json!(scopes.names()),
        agent_ids: None,
        ip_allow_list: json!([]),
        previous_hash: None,
        previous_expires_at: None,
        rotated_at: None,
        created_by,
        expires_at,
        warn_at: expires_at.map(|end| end - WARNED_BEFORE.min((end - now) / 4)),
        last_used_at: None,
        revoked_at: None,
        metadata: json!({}),
        revision: 1,
        created_at: now,
        updated_at: now,
    }
}

/// A key that is limited to agents holds nothing else: what it could hold and never use is refused.
fn require_of_agents(scopes: &[String]) -> Result<()> {
    let is_other = |scope: &str| permissions::find(scope).is_some() && !permissions::is_of_agents(scope);
    let others = scopes.iter().enumerate().filter(|(_, scope)| is_other(scope.as_str()));
    let error = |(index, _)| {
        let message = "A key that is limited to agents cannot have this scope.";
        FieldError::new(format!("/scopes/{index}"), "not_of_agents", message)
    };
    let errors: Vec<_> = others.map(error).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid { errors }) }
}

/// The networks of a key that is made with a key: no others than that one's.
fn within(asked: Networks, own: serde_json::Value) -> Result<Networks> {
    let own = Networks::from_stored(own)?;
    if asked.is_anywhere() {
        return Ok(own);
    }
    if asked.are_within(&own) {
        return Ok(asked);
    }
    let message = "Your own key may not be used from all of these.";
    Err(Error::invalid("/ipAllowList", "exceeds_own_networks", message))
}

async fn existing(tx: &TenantTx, ids: Vec<Uuid>) -> Result<BTreeSet<Uuid>> {
    let live = Condition::all()
        .add(agent::Column::DeletedAt.is_null())
        .add(agent::Column::Id.is_in(ids.iter().copied()));
    let found = tx.find::<agent::Entity>().filter(live).all().await?;
    let found: BTreeSet<Uuid> = found.into_iter().map(|agent| agent.id).collect();
    let missing = ids.iter().enumerate().filter(|(_, id)| !found.contains(id));
    let error =
        |(index, _)| FieldError::new(format!("/agentIds/{index}"), "not_found", "There is no such agent.");
    let errors: Vec<_> = missing.map(error).collect();
    if errors.is_empty() { Ok(found) } else { Err(Error::Invalid { errors }) }
}
