//! API keys: credentials of machines. The secret is shown once; what is stored is its hash.
//!
//! Invariants: a key never holds more than its maker does, when it is made and whenever it is used; one
//! made by a key does not outlive it; nobody changes the keys of a person who may do more than they.

use chrono::{DateTime, Utc};
use entity::identity::api_key::{ActiveModel, Column, Entity, Model};
use entity::identity::membership;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, Condition};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::workspaces;
use crate::auth::api_keys::{API_KEY, ApiKeySecret};
use crate::crud::metadata::{self, Metadata, MetadataPatch};
use crate::crud::{self, Expected, Once, Page, Paging, Resource, page, patch};
use crate::ctx::{Actor, Ctx};
use crate::db::TenantTx;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::{self, Quota};

const REVOKE_ALL: &str = "UPDATE api_key SET revoked_at = $3, updated_at = $3, revision = revision + 1
    WHERE tenant_id = $1 AND created_by = $2 AND revoked_at IS NULL";

const REVOKE_WITHIN: &str = "UPDATE api_key SET revoked_at = $3, updated_at = $3, revision = revision + 1
    WHERE tenant_id = $1 AND workspace_id = $2 AND revoked_at IS NULL";

/// An API key without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    pub id: Uuid,
    /// The key sees and does only what belongs to this workspace; null is all of the tenant.
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    pub name: String,
    /// The first characters of the key.
    #[schema(example = "mc_live_4Kd0")]
    pub prefix: String,
    /// The last characters of the key.
    #[schema(example = "x9Qz")]
    pub last4: String,
    #[schema(example = json!(["task-runs:read", "task-runs:write"]))]
    pub scopes: Vec<String>,
    /// The person whose rights bound those of the key.
    pub created_by: Uuid,
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    #[schema(required)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// Since when the key is refused.
    #[schema(required)]
    pub revoked_at: Option<DateTime<Utc>>,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(ApiKeyPage, ApiKeyView);

/// A new API key with its secret, which is never shown again.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedApiKey {
    /// For `X-API-Key` or `Authorization: Bearer`.
    #[schema(example = "mc_live_…")]
    pub key: String,
    #[serde(flatten)]
    pub api_key: ApiKeyView,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateApiKey {
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Nightly import")]
    pub name: String,
    /// Permissions that you have yourself, or `*` for all of yours, now and later.
    #[schema(min_items = 1, max_items = 64, example = json!(["task-runs:read", "task-runs:write"]))]
    pub scopes: Vec<String>,
    /// The key sees and does only what belongs to it. A key made with a key of a workspace is one of it as well.
    #[serde(default)]
    pub workspace_id: Option<Uuid>,
    /// When the key stops working; without it never. A key made with a key stops with it at the latest.
    #[serde(default, deserialize_with = "crate::crud::time::optional")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateApiKey {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 120))]
    #[schema(nullable = false, min_length = 1, max_length = 120)]
    pub name: Option<String>,
    /// Set entries; `null` removes one.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub metadata: Option<MetadataPatch>,
}

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

impl From<Model> for ApiKeyView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id,
            name,
            prefix,
            last4,
            hash: _,
            scopes,
            created_by,
            expires_at,
            last_used_at,
            revoked_at,
            metadata,
            revision,
            created_at,
            updated_at,
        } = row;
        Self {
            id,
            workspace_id,
            name,
            prefix,
            last4,
            scopes: serde_json::from_value(scopes).unwrap_or_default(),
            created_by,
            expires_at,
            last_used_at,
            revoked_at,
            metadata: metadata::shown(metadata),
            revision,
            created_at,
            updated_at,
        }
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

/// # Errors
/// 422 at each scope that the caller does not hold; 403 `quota_exceeded`.
pub async fn create(ctx: &Ctx, create: CreateApiKey) -> Result<CreatedApiKey> {
    let CreateApiKey { name, scopes, workspace_id, expires_at, metadata } = create;
    let scopes = ctx.rights.grant(&scopes)?;
    let workspace_id = workspaces::admit(ctx, workspace_id).await?;
    let now = ctx.core.clock.now();
    let created_by = ctx.actor.user().ok_or_else(|| API_KEY.invalid())?;
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid("/expiresAt", "past", "must be in the future"));
    }
    let expires_at = match ctx.actor {
        Actor::ApiKey { id, .. } => {
            let own = tx.get::<Entity>(id).await?.ok_or_else(|| API_KEY.invalid())?.expires_at;
            expires_at.into_iter().chain(own).min()
        }
        Actor::User { .. } | Actor::System => expires_at,
    };
    tenant_limits::admit(ctx, &tx, Quota::ApiKeys).await?;
    let ApiKeySecret { secret, prefix, last4, hash } = ApiKeySecret::generate(&ctx.core.ids);
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id,
        name,
        prefix,
        last4,
        hash: hash.as_bytes().to_vec(),
        scopes: serde_json::json!(scopes.names()),
        created_by,
        expires_at,
        last_used_at: None,
        revoked_at: None,
        metadata: metadata::stored(metadata),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row = tx.insert::<Entity>(row).await?;
    let created = CreatedApiKey { key: secret.expose_secret().to_owned(), api_key: row.into() };
    let change = Change::created::<Entity>(created.api_key.id, &created.api_key);
    tx.finish(change, &created).await?;
    Ok(created)
}

/// # Errors
/// 403 `role_above_own`.
pub async fn update(ctx: &Ctx, id: Uuid, expected: Expected, update: UpdateApiKey) -> Result<ApiKeyView> {
    let UpdateApiKey { name, metadata } = update;
    require_reach(ctx, id).await?;
    crud::update::<ApiKeys>(ctx, id, expected, |row| {
        let mut changes = ActiveModel::default();
        if let Some(name) = &name {
            changes.name = Set(name.clone());
        }
        if let Some(patch) = &metadata {
            changes.metadata = Set(metadata::merged(&row.metadata, patch.clone())?);
        }
        Ok(changes)
    })
    .await
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

/// The caller's own key, or that of a person who may do no more than the caller.
async fn require_reach(ctx: &Ctx, id: Uuid) -> Result<()> {
    let maker = crud::load::<ApiKeys>(ctx, id).await?.created_by;
    if ctx.actor.user() == Some(maker) {
        return Ok(());
    }
    let place =
        ctx.db().find::<membership::Entity>().filter(membership::Column::UserId.eq(maker)).one().await?;
    if place.is_none_or(|place| ctx.rights.cover(place.role)) {
        return Ok(());
    }
    Err(Error::denied("role_above_own", "The maker of this key may do more than you may."))
}
