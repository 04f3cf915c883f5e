//! The rounds of every node: fire what is due, note what ended, start what waited.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{fire, release, settle};
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;
use crate::tasks::alarm;

/// Pages of each kind in one round.
const MOST_PAGES: usize = 400;
/// Busy nodes look at different pages of what is due.
const SPREAD: u64 = 4;

pub async fn run(core: Core, stop: CancellationToken) {
    let alarm = core.schedules.clone();
    alarm::watch(core, alarm, |core| Box::pin(round(core)), stop).await;
}

/// Does all that is due now; when the next time is.
pub async fn round(core: &Core) -> Result<Option<DateTime<Utc>>> {
    fire_due(core).await?;
    for _ in 0..MOST_PAGES {
        if settle::page(core, core.clock.now()).await? < settle::PAGE {
            break;
        }
    }
    release::clear(core, core.clock.now()).await?;
    // What was just in the way may be over.
    settle::page(core, core.clock.now()).await?;
    for _ in 0..MOST_PAGES {
        let now = core.clock.now();
        if release::page(core, now).await? < release::PAGE {
            break;
        }
    }
    nearest(core).await
}

async fn fire_due(core: &Core) -> Result<()> {
    let mut skip = 0;
    for _ in 0..MOST_PAGES {
        let looked = fire::page(core, core.clock.now(), skip).await?;
        if looked < fire::PAGE && skip == 0 {
            break;
        }
        let pages = if looked < fire::PAGE { 0 } else { core.ids.below(SPREAD) };
        skip = usize::try_from(pages).unwrap_or(0) * fire::PAGE;
    }
    Ok(())
}

async fn nearest(core: &Core) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT next_fire_at FROM scheduled_task WHERE next_fire_at IS NOT NULL ORDER BY next_fire_at LIMIT 1";
    let rows = core.db.system(Reason::Engine).query(sql, Vec::new()).await?;
    Ok(rows.first().map(|row| row.try_get("", "next_fire_at")).transpose()?)
}
