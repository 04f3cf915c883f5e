//! When a key was last used, written at most once a minute so that reading costs no write.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::identity::api_key::{ActiveModel, Column, Entity};
use sea_orm::{ActiveValue, ColumnTrait as _};
use uuid::Uuid;

use crate::core::Core;
use crate::error::Result;

const RESOLUTION: Duration = Duration::from_secs(60);

pub async fn note(core: &Core, tenant: Uuid, key: Uuid, last: Option<DateTime<Utc>>) -> Result<()> {
    let now = core.clock.now();
    if last.is_some_and(|last| now.signed_duration_since(last).to_std().unwrap_or_default() < RESOLUTION) {
        return Ok(());
    }
    let tx = core.db.tenant(tenant).begin().await?;
    let changes = ActiveModel { last_used_at: ActiveValue::Set(Some(now)), ..Default::default() };
    tx.update::<Entity>(key, Column::RevokedAt.is_null(), changes).await?;
    tx.commit().await
}
