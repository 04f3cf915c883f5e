//! The loops that look for what time causes: they sleep until the next thing is due, or until this node changes
//! something, and look now and again for what other nodes did. There is no leader: what is done is decided by
//! the rows.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::error::Result;

/// The longest sleep.
const LOOK: Duration = Duration::from_millis(500);

/// Wakes a loop of this node.
#[derive(Clone, Default)]
pub struct Alarm(Arc<Notify>);

impl Alarm {
    /// Something may be due sooner than was known.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Does all that is due now; answers when the next thing is.
pub type Round = for<'a> fn(&'a Core) -> BoxFuture<'a, Result<Option<DateTime<Utc>>>>;

/// Goes round until the node stops.
pub async fn watch(core: Core, alarm: Alarm, round: Round, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = alarm.0.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // A restored copy believes that much is due which others have done.
        if core.quarantine.is_on() || !core.engine.is_claiming() {
            pause = LOOK;
            continue;
        }
        pause = match round(&core).await {
            Ok(Some(next)) => (next - core.clock.now()).to_std().unwrap_or_default().min(LOOK),
            Ok(None) => LOOK,
            Err(error) => {
                tracing::warn!(%error, "a look for what is due failed");
                LOOK
            }
        };
    }
}
