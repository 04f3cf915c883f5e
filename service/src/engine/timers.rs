//! What time ends of what runs wait for: timers at their time, questions and other waits past theirs. And what had
//! come before it was waited for.
//!
//! Any number of nodes look, and each thing is taken by one statement, so it ends once. The sweep looks every few
//! seconds; the loop here sleeps until the nearest time that it knows, so that timers are not late by a sweep.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::tasks::approval::OnExpire;
use entity::tasks::task_run::RunStatus;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::transitions::{self, Resumed};
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::Result;
use crate::tasks::events;

/// Batches of one look.
const MOST_BATCHES: usize = 100;
const NEXT: &str = "SELECT MIN(expires_at) AS due FROM run_wait WHERE status = 'OPEN'";

/// Wakes what waits for a time, at the time.
pub async fn run(core: Core, stop: CancellationToken) {
    let inner = core.engine.0.clone();
    loop {
        let pause = match look(&core).await {
            Ok(next) => until(&core, next),
            Err(cause) => {
                tracing::warn!(%cause, "could not look for timers");
                inner.settings.sweep
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = inner.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Another node may have registered an earlier one: no longer than a sweep.
fn until(core: &Core, next: Option<DateTime<Utc>>) -> Duration {
    let sweep = core.engine.settings().sweep;
    let Some(next) = next else { return sweep };
    (next - core.clock.now()).to_std().unwrap_or_default().clamp(Duration::from_millis(1), sweep)
}

/// Ends what is due, and answers with the time of what is next.
async fn look(core: &Core) -> Result<Option<DateTime<Utc>>> {
    if core.quarantine.is_on() {
        return Ok(None);
    }
    let next = async || -> Result<Option<DateTime<Utc>>> {
        let rows = core.db.system(Reason::Engine).query(NEXT, Vec::new()).await?;
        Ok(rows.first().map(|row| row.try_get("", "due")).transpose()?.flatten())
    };
    events::catch_up(core).await?;
    let due = next().await?;
    if due.is_some_and(|due| due <= core.clock.now()) {
        expire(core).await?;
        return next().await;
    }
    Ok(due)
}

/// Ends every question and wait past its time; their runs go on, unless they wait for more.
pub async fn expire(core: &Core) -> Result<()> {
    for ended in [Ended::Questions, Ended::Waits] {
        for _ in 0..MOST_BATCHES {
            let now = core.clock.now();
            let tx = core.db.system(Reason::Engine).begin().await?;
            let (count, runs) = ended.take(&tx, now).await?;
            let resumed = transitions::satisfy_if_answered(&tx, &runs, now).await?;
            tx.commit().await?;
            for run in resumed {
                core.engine.announce(run, RunStatus::Pending);
            }
            if count < transitions::BATCH {
                break;
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Ended {
    Questions,
    Waits,
}

impl Ended {
    /// How many ended, and the runs that they were of.
    async fn take(self, tx: &SystemTx, now: DateTime<Utc>) -> Result<(usize, Vec<Resumed>)> {
        let mut runs: Vec<Resumed> = match self {
            Self::Questions => {
                let asked = transitions::expire_questions(tx, now).await?.into_iter().map(|asked| {
                    let decision = match asked.on_expire {
                        OnExpire::Approve => "APPROVE",
                        OnExpire::Reject => "REJECT",
                        OnExpire::Fail => "FAIL",
                    };
                    let data = json!({ "approvalId": asked.id, "decision": decision, "by": "system", "expired": true });
                    Resumed { tenant: asked.tenant_id, run: asked.run_id, data }
                });
                asked.collect()
            }
            Self::Waits => {
                let waits = transitions::expire_timers(tx, now).await?.into_iter().map(|wait| {
                    let data = json!({ "waitId": wait.id, "kind": wait.kind, "status": wait.status, "by": "system" });
                    Resumed { tenant: wait.tenant_id, run: wait.run_id, data }
                });
                waits.collect()
            }
        };
        let count = runs.len();
        runs.sort_by_key(|run| (run.tenant, run.run));
        runs.dedup_by_key(|run| (run.tenant, run.run));
        Ok((count, runs))
    }
}
