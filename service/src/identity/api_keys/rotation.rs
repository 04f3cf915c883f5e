//! A new secret for a key, with the old one good for a while, so that nobody has to stop.
//!
//! Invariant: of a key at most two secrets work, and the older one for a bounded time.

use chrono::TimeDelta;
use entity::identity::api_key::{ActiveModel, Column, Entity};
use sea_orm::ActiveValue::Set;
use sea_orm::ColumnTrait as _;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{ApiKeyView, ApiKeys, CreatedApiKey, person_only, require_reach};
use crate::auth::api_keys::ApiKeySecret;
use crate::crud::{self, Once};
use crate::ctx::{Actor, Ctx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// For how long the old secret works where nothing is asked for: an hour.
const OVERLAP_SECONDS: i64 = 3600;

#[derive(Clone, Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RotateApiKey {
    /// For how long the old secret also works: up to a week, an hour where it is absent; 0 ends it at once.
    #[validate(range(min = 0, max = 604_800))]
    #[schema(minimum = 0, maximum = 604_800, default = 3600, example = 86_400)]
    pub overlap_seconds: Option<i64>,
}

/// A secret that was replaced before and still worked ends at once.
///
/// # Errors
/// 403 `role_above_own`, and `person_only` for a key that rotates another one; 409 `key_not_live`.
pub async fn rotate(ctx: &Ctx, id: Uuid, rotate: RotateApiKey) -> Result<CreatedApiKey> {
    let RotateApiKey { overlap_seconds } = rotate;
    // Its secret would be worth more than the key that asks.
    if matches!(ctx.actor, Actor::ApiKey { id: own, .. } if own != id) {
        crud::load::<ApiKeys>(ctx, id).await?;
        return Err(person_only());
    }
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let key = require_reach(ctx, id).await?;
    let now = ctx.core.clock.now();
    if key.revoked_at.is_some() || key.expires_at.is_some_and(|at| at <= now) {
        return Err(Error::conflict("key_not_live", "The key was revoked or has expired: make a new one."));
    }
    let ApiKeySecret { secret, prefix, last4, hash } = ApiKeySecret::generate(&ctx.core.ids);
    let overlap = overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let changes = ActiveModel {
        prefix: Set(prefix),
        last4: Set(last4),
        previous_hash: Set((overlap > 0).then(|| key.hash.clone())),
        previous_expires_at: Set((overlap > 0).then(|| now + TimeDelta::seconds(overlap))),
        hash: Set(hash.as_bytes().to_vec()),
        rotated_at: Set(Some(now)),
        revision: Set(key.revision + 1),
        updated_at: Set(now),
        ..ActiveModel::default()
    };
    let same = Column::Revision.eq(key.revision);
    let written = tx.update::<Entity>(id, same, changes).await?.ok_or_else(|| {
        Error::conflict("concurrent_update", "The key is being changed by others: try again.")
    })?;
    let (old, new) = (ApiKeyView::from(key), ApiKeyView::from(written));
    let change = Change::updated::<Entity>(id, &old, &new);
    let rotated = CreatedApiKey { key: secret.expose_secret().to_owned(), api_key: new };
    tx.finish(change, &rotated).await?;
    ctx.core.principals.clear();
    Ok(rotated)
}
