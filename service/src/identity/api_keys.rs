//! API keys: credentials of machines. The secret is shown once; what is stored is its hash.
//!
//! Invariants: a key never holds more than its maker does, when it is made and whenever it is used; one
//! made by a key does not outlive it or work from elsewhere; nobody changes the keys of a person who may do
//! more than they, and a key gets no other key's secret.

mod creation;
mod rotation;
mod views;

use chrono::{DateTime, Utc};
use entity::identity::api_key::{ActiveModel, Column, Entity, Model};
use entity::identity::membership;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::auth::networks::Networks;
use crate::crud::{self, Expected, Page, Paging, Resource, metadata};
use crate::ctx::{Actor, Ctx};
use crate::db::TenantTx;
use crate::error::{Error, Result};

pub use creation::create;
pub use rotation::{RotateApiKey, rotate};
pub use views::{ApiKeyPage, ApiKeyView, CreateApiKey, CreatedApiKey, UpdateApiKey};

const REVOKE_ALL: &str = "UPDATE api_key SET revoked_at = $3, updated_at = $3, revision = revision + 1
    WHERE tenant_id = $1 AND created_by = $2 AND revoked_at IS NULL";

const REVOKE_WITHIN: &str = "UPDATE api_key SET revoked_at = $3, updated_at = $3, revision = revision + 1
    WHERE tenant_id = $1 AND workspace_id = $2 AND revoked_at IS NULL";

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ApiKeyFilter {
    /// Only keys that were revoked, or only those that were not.
    pub revoked: Option<bool>,
    pub workspace_id: Option<Uuid>,
}

pub struct ApiKeys;

impl Resource for ApiKeys {
    type Entity = Entity;
    type View = ApiKeyView;

    fn taken() -> Error {
        Error::conflict("conflict", "The same key exists.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &ApiKeyFilter) -> Result<Page<ApiKeyView>> {
    let revoked = filter.revoked.map(|revoked| match revoked {
        true => Column::RevokedAt.is_not_null(),
        false => Column::RevokedAt.is_null(),
    });
    let within = filter.workspace_id.map(|id| Column::WorkspaceId.eq(id));
    crud::list::<ApiKeys>(ctx, paging, Condition::all().add_option(revoked).add_option(within)).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<ApiKeyView> {
    crud::get::<ApiKeys>(ctx, id).await
}

/// Widening or narrowing where a key may be used from is for signed-in people: a key that is stolen, and
/// held back by its list, must not open it.
///
/// # Errors
/// 403 `role_above_own`, `person_only`.
pub async fn update(ctx: &Ctx, id: Uuid, expected: Expected, update: UpdateApiKey) -> Result<ApiKeyView> {
    let UpdateApiKey { name, ip_allow_list, metadata } = update;
    require_reach(ctx, id).await?;
    if ip_allow_list.is_some() && !matches!(ctx.actor, Actor::User { .. }) {
        return Err(person_only());
    }
    let networks = ip_allow_list.as_deref().map(Networks::parse).transpose()?;
    let view = crud::update::<ApiKeys>(ctx, id, expected, |row| {
        let mut changes = ActiveModel::default();
        if let Some(networks) = &networks {
            changes.ip_allow_list = Set(json!(networks.names()));
        }
        if let Some(name) = &name {
            changes.name = Set(name.clone());
        }
        if let Some(patch) = &metadata {
            changes.metadata = Set(metadata::merged(&row.metadata, patch.clone())?);
        }
        Ok(changes)
    })
    .await?;
    ctx.core.principals.clear();
    Ok(view)
}

/// Revokes a key: refused at once on this node, within a second on others. It stays listed, and
/// revoking it again changes nothing.
///
/// # Errors
/// 403 `role_above_own`.
pub async fn revoke(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    require_reach(ctx, id).await?;
    let now = ctx.core.clock.now();
    crud::update::<ApiKeys>(ctx, id, expected, |row| {
        let mut changes = ActiveModel::default();
        if row.revoked_at.is_none() {
            changes.revoked_at = Set(Some(now));
        }
        Ok(changes)
    })
    .await?;
    ctx.core.principals.clear();
    Ok(())
}

/// Revokes the keys that a person made, within the transaction that ends their membership.
pub(super) async fn revoke_all_of(tx: &TenantTx, maker: Uuid, now: DateTime<Utc>) -> Result<()> {
    tx.execute(REVOKE_ALL, vec![maker.into(), now.into()]).await?;
    Ok(())
}

/// Revokes the keys of a workspace, within the transaction that deletes it.
pub(super) async fn revoke_all_within(tx: &TenantTx, workspace: Uuid, now: DateTime<Utc>) -> Result<()> {
    tx.execute(REVOKE_WITHIN, vec![workspace.into(), now.into()]).await?;
    Ok(())
}

fn person_only() -> Error {
    Error::denied("person_only", "An API key may not do this: sign in.")
}

/// The caller's own key, or that of a person who may do no more than the caller.
async fn require_reach(ctx: &Ctx, id: Uuid) -> Result<Model> {
    let key = crud::load::<ApiKeys>(ctx, id).await?;
    let maker = key.created_by;
    if ctx.actor.user() == Some(maker) {
        return Ok(key);
    }
    let place =
        ctx.db().find::<membership::Entity>().filter(membership::Column::UserId.eq(maker)).one().await?;
    if place.is_none_or(|place| ctx.rights.cover(place.role)) {
        return Ok(key);
    }
    Err(Error::denied("role_above_own", "The maker of this key may do more than you may."))
}
