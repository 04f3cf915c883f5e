//! What a resumed definition held goes back into the queue: a bounded batch a transaction, so that a million runs
//! keep nobody waiting. A definition says that it may hold something until it does not, so a node that is killed
//! meanwhile leaves nothing held.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::transitions::{self, BATCH};
use crate::core::Core;
use crate::db::{Reason, SystemDb};
use crate::error::Result;

/// Definitions that one look finds.
const MOST: usize = 100;
/// Batches of one definition in one round: the others have their turn.
const ROUND: usize = 20;

/// Releases what it finds until the node stops.
pub async fn run(core: Core, stop: CancellationToken) {
    loop {
        let left = match round(&core).await {
            Ok(left) => left,
            Err(cause) => {
                tracing::warn!(%cause, "could not release what paused definitions held");
                false
            }
        };
        let pause = if left { std::time::Duration::ZERO } else { core.engine.settings().sweep };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether something is left to release.
async fn round(core: &Core) -> Result<bool> {
    let system = core.db.system(Reason::Engine);
    let sql = format!(
        "SELECT tenant_id, id, releasing_at FROM task_definition \
         WHERE releasing_at IS NOT NULL ORDER BY releasing_at LIMIT {MOST}"
    );
    let mut left = false;
    for row in system.query(&sql, Vec::new()).await? {
        let (tenant, id) = (row.try_get("", "tenant_id")?, row.try_get("", "id")?);
        left |= !release(core, &system, tenant, id, row.try_get("", "releasing_at")?).await?;
    }
    Ok(left)
}

/// The first batches of what a definition holds that was resumed at this moment; the rounds do the rest.
pub async fn begin(core: &Core, tenant: Uuid, definition: Uuid, since: DateTime<Utc>) -> Result<()> {
    release(core, &core.db.system(Reason::Engine), tenant, definition, since).await.map(drop)
}

/// Whether nothing is left.
async fn release(
    core: &Core,
    system: &SystemDb,
    tenant: Uuid,
    definition: Uuid,
    since: DateTime<Utc>,
) -> Result<bool> {
    for _ in 0..ROUND {
        let tx = system.begin().await?;
        let released = transitions::release_held(&tx, tenant, definition).await?;
        let is_last = released < u64::try_from(BATCH).unwrap_or(u64::MAX);
        if is_last {
            transitions::end_release(&tx, tenant, definition, since).await?;
        }
        tx.commit().await?;
        core.engine.nudge();
        if is_last {
            return Ok(true);
        }
    }
    Ok(false)
}
