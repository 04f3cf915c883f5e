//! Calls that were refused. What a caller may write by being refused is bounded: after so many rows in a
//! minute the last one says that more follow unrecorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::future::Cache;
use serde_json::json;
use uuid::Uuid;

use super::{Change, Entry, append};
use crate::auth::principal::{Principal, RequestInfo};
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;

const MOST: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
const MOST_CALLERS: u64 = 10_000;

/// How many refusals of each caller were recorded in this minute.
pub struct Refusals(Cache<(Uuid, String), Arc<AtomicU32>>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_CALLERS).time_to_live(WINDOW).build())
    }
}

impl Refusals {
    /// The caller's how manieth refusal this is; `None` beyond the most.
    async fn count(&self, entry: &Entry) -> Option<u32> {
        let key = (entry.tenant, entry.actor.clone());
        let counted = self.0.get_with(key, async { Arc::default() }).await;
        let before = counted.fetch_add(1, Ordering::Relaxed);
        (before < MOST).then_some(before + 1)
    }
}

/// Records that a caller was refused with the problem `code`. A failure to do so is logged: the caller
/// is refused all the same.
pub async fn refused(core: &Core, caller: &Principal, request: &RequestInfo, code: &'static str) {
    let ctx = caller.ctx(core, request);
    let entry = Entry {
        tenant: ctx.tenant,
        actor: ctx.actor.to_string(),
        user: ctx.actor.user(),
        action: ctx.operation.to_owned(),
        code: Some(code),
        request_id: ctx.request_id,
        ip: ctx.ip,
        change: Change::default(),
    };
    keep(core, entry).await;
}

/// Records that somebody failed to sign in as this person. It happens aside, because a caller must not
/// learn from the time it takes whether the person exists.
pub(crate) fn failed_sign_in(
    core: &Core,
    request: &RequestInfo,
    tenant: Uuid,
    user: Uuid,
    code: &'static str,
) {
    let mut entry = Entry::of_person(request, tenant, user, Change::default());
    entry.actor = "anonymous".to_owned();
    entry.code = Some(code);
    let core = core.clone();
    tokio::spawn(async move { keep(&core, entry).await });
}

async fn keep(core: &Core, mut entry: Entry) {
    let Some(count) = core.refusals.count(&entry).await else {
        metrics::counter!("audit_refusals_unrecorded").increment(1);
        return;
    };
    if count == MOST {
        entry.change =
            entry.change.with(json!({ "more": "further refusals of this minute are not recorded" }));
    }
    if let Err(error) = write(core, entry).await {
        tracing::error!(%error, "a refusal could not be recorded");
    }
}

async fn write(core: &Core, entry: Entry) -> Result<()> {
    let tx = core.db.tenant(entry.tenant).begin().await?;
    let recorded = append(core, tx.system(Reason::Audit), entry).await?;
    tx.commit(recorded).await
}
