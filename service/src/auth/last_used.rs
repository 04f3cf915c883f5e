//! When a key was last used, written at most once a minute so that reading costs no write, and aside:
//! that it fails or takes long is no caller's concern.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::identity::api_key::{ActiveModel, Column, Entity};
use sea_orm::{ActiveValue, ColumnTrait as _};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::core::Core;
use crate::error::Result;
use crate::governance::audit_logs::Recorded;

const RESOLUTION: Duration = Duration::from_secs(60);
/// Writes at once; what comes while they are under way is noted with a later use.
const MOST_WRITES: usize = 2;

pub struct LastUsed {
    writes: Arc<Semaphore>,
}

impl Default for LastUsed {
    fn default() -> Self {
        Self { writes: Arc::new(Semaphore::new(MOST_WRITES)) }
    }
}

impl LastUsed {
    pub fn note(&self, core: &Core, tenant: Uuid, key: Uuid, last: Option<DateTime<Utc>>) {
        let now = core.clock.now();
        let age = |last| now.signed_duration_since(last).to_std().unwrap_or_default();
        if last.is_some_and(|last| age(last) < RESOLUTION) {
            return;
        }
        let Ok(permit) = Arc::clone(&self.writes).try_acquire_owned() else { return };
        let core = core.clone();
        tokio::spawn(async move {
            if let Err(error) = write(&core, tenant, key, now).await {
                tracing::warn!(%error, "the last use of a key could not be noted");
            }
            drop(permit);
        });
    }
}

async fn write(core: &Core, tenant: Uuid, key: Uuid, now: DateTime<Utc>) -> Result<()> {
    let tx = core.db.tenant(tenant).begin().await?;
    let changes = ActiveModel { last_used_at: ActiveValue::Set(Some(now)), ..Default::default() };
    tx.update::<Entity>(key, Column::RevokedAt.is_null(), changes).await?;
    tx.commit(Recorded::bookkeeping()).await
}
