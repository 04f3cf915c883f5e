//! The loop of a node that sends runs to workers. Any number of nodes: a claim is one node's, and how a worker
//! took what it was sent is written by one statement.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::agents::tool::SideEffect;
use entity::identity::api_key;
use entity::identity::tenant::TenantStatus;
use entity::tasks::worker::{Entity, Model};
use sea_orm::FromQueryResult as _;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::signature;
use crate::auth::permissions::workers::Write;
use crate::auth::principal::{self, RequestInfo};
use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::{Reason, SystemDb};
use crate::egress::{EgressError, Method, Request, Url};
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};
use crate::tasks::run_attempts::{self, ReleaseAttempt};
use crate::tasks::workers::claims::{self, ClaimedRun};

/// Polling is the truth; a bell only makes it sooner.
const LOOK: Duration = Duration::from_millis(500);
/// How long a worker may take to say that it takes a run.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Deliveries under way at a node, and to one worker by one claim.
const MOST: usize = 64;
const MOST_OF_WORKER: usize = 16;
/// Workers of one look.
const PAGE: usize = 100;
/// Deliveries in a row that are not taken before the worker is paused.
const MOST_FAILURES: i32 = 8;
const LONGEST_BACK_OFF: i64 = 300;
/// That a worker took a run is written when it was not for so long.
const TOOK: TimeDelta = TimeDelta::seconds(5);
/// Tries to give a run back before its lease does.
const RELEASES: u32 = 5;

const DUE: &str = "SELECT * FROM worker w WHERE w.delivery_url IS NOT NULL AND (w.tenant_id, w.id) > ($2, $3) \
     AND w.paused_at IS NULL AND w.drained_at IS NULL AND (w.delivery_after IS NULL OR w.delivery_after <= $1) \
     AND EXISTS (SELECT 1 FROM task_run r WHERE r.status = 'PENDING' AND r.capability IS NOT NULL \
         AND r.tenant_id = w.tenant_id) ORDER BY w.tenant_id, w.id LIMIT";
const TAKEN: &str = "UPDATE worker SET delivery_failures = 0, delivery_after = NULL, delivery_error = NULL, \
     last_seen_at = $3, last_claim_at = $3 WHERE tenant_id = $1 AND id = $2 \
     AND (delivery_failures > 0 OR last_seen_at < $4 OR last_claim_at IS NULL OR last_claim_at < $4)";
/// Deliveries of one claim that fail together count as one.
const FAILED: &str = "UPDATE worker SET delivery_failures = delivery_failures + 1, delivery_after = $4, \
     delivery_error = $5 WHERE tenant_id = $1 AND id = $2 AND delivery_failures = $3 AND delivery_url IS NOT NULL";
const PAUSE: &str = "UPDATE worker SET paused_at = $3, paused_reason = $4, updated_at = $3, revision = revision + 1 \
     WHERE tenant_id = $1 AND id = $2 AND paused_at IS NULL AND delivery_url IS NOT NULL";

/// Sends until `stop`, and then lets what is under way end.
pub async fn deliver(core: Core, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST));
    let under_way = TaskTracker::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = core.engine.until_worker_is_called() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        if !core.engine.is_claiming() || core.engine.is_quarantined() {
            continue;
        }
        if let Err(cause) = look(&core, &places, &under_way).await {
            tracing::warn!(%cause, "could not send runs to workers");
        }
    }
    under_way.close();
    under_way.wait().await;
}

/// One look, and what it sends to its end.
pub async fn round(core: &Core) -> Result<()> {
    let under_way = TaskTracker::new();
    look(core, &Arc::new(Semaphore::new(MOST)), &under_way).await?;
    under_way.close();
    under_way.wait().await;
    Ok(())
}

fn engine_db(core: &Core) -> SystemDb {
    core.db.system(Reason::Engine)
}

async fn look(core: &Core, places: &Arc<Semaphore>, under_way: &TaskTracker) -> Result<()> {
    let system = engine_db(core);
    let sql = format!("{DUE} {PAGE}");
    let mut last = (Uuid::nil(), Uuid::nil());
    loop {
        let values = vec![core.clock.now().into(), last.0.into(), last.1.into()];
        let rows = system.query(&sql, values).await?;
        for row in &rows {
            let worker = Model::from_query_result(row, "")?;
            last = (worker.tenant_id, worker.id);
            if places.available_permits() == 0 {
                return Ok(());
            }
            if let Err(cause) = send(core, worker, places, under_way).await {
                tracing::warn!(%cause, worker.id = %last.1, "could not claim for a worker");
            }
        }
        if rows.len() < PAGE {
            return Ok(());
        }
    }
}

/// Claims for the worker and starts to send what was claimed.
async fn send(core: &Core, worker: Model, places: &Arc<Semaphore>, under_way: &TaskTracker) -> Result<()> {
    let Some(ctx) = sight(core, &worker).await? else { return Ok(()) };
    let mut permits = Vec::new();
    while permits.len() < MOST_OF_WORKER
        && let Ok(permit) = places.clone().try_acquire_owned()
    {
        permits.push(permit);
    }
    let most = u64::try_from(permits.len()).unwrap_or_default();
    let items = claims::take(&ctx, &worker, most).await?;
    let worker = Arc::new(worker);
    for (item, permit) in items.into_iter().zip(permits) {
        under_way.spawn(delivery(ctx.clone(), worker.clone(), item, permit));
    }
    Ok(())
}

/// The worker is given what whoever registered it sees. One whose registrant may not any more is paused.
async fn sight(core: &Core, worker: &Model) -> Result<Option<Ctx>> {
    let lost = "Whoever registered it has not the right to any more: register it anew.";
    let Some((user, key)) = registrant(core, worker).await? else {
        return pause(core, worker, lost).await.map(|()| None);
    };
    let Some(maker) = principal::of_maker(core, worker.tenant_id, user, key).await? else {
        return pause(core, worker, lost).await.map(|()| None);
    };
    if maker.tenant_status != TenantStatus::Active {
        return Ok(None);
    }
    let request_id = format!("push-{}", worker.id);
    let request = RequestInfo { request_id, operation: "claim_task_runs", ip: None, idempotency: None };
    match maker.authorize::<Write>(core, &request) {
        Ok(ctx) => Ok(Some(ctx)),
        Err(Error::Forbidden { .. } | Error::Denied { .. }) => pause(core, worker, lost).await.map(|()| None),
        Err(error) => Err(error),
    }
}

async fn registrant(core: &Core, worker: &Model) -> Result<Option<(Uuid, Option<Uuid>)>> {
    let Some((kind, id)) = worker.registered_by.split_once(':') else { return Ok(None) };
    let Ok(id) = id.parse::<Uuid>() else { return Ok(None) };
    match kind {
        "user" => Ok(Some((id, None))),
        "api-key" => {
            let key = core.db.tenant(worker.tenant_id).get::<api_key::Entity>(id).await?;
            Ok(key.map(|key| (key.created_by, Some(id))))
        }
        _ => Ok(None),
    }
}

/// How the worker answered.
enum Answer {
    Taken,
    /// It has not got the run, or says that it does not take it.
    NotTaken(String),
    /// Nobody knows whether it got the run.
    Unknown(String),
}

async fn delivery(ctx: Ctx, worker: Arc<Model>, item: ClaimedRun, permit: OwnedSemaphorePermit) {
    let answer = match post(&ctx.core, &worker, &item).await {
        Ok(answer) => answer,
        Err(cause) => {
            tracing::error!(%cause, worker.id = %worker.id, "could not make a delivery");
            Answer::NotTaken("The delivery could not be made.".to_owned())
        }
    };
    drop(permit);
    let outcome = match &answer {
        Answer::Taken => "taken",
        Answer::NotTaken(_) => "not_taken",
        Answer::Unknown(_) => "unknown",
    };
    metrics::counter!("worker_deliveries_total", "outcome" => outcome).increment(1);
    let noted = match answer {
        Answer::Taken => taken(&ctx.core, &worker).await,
        Answer::NotTaken(why) => {
            let noted = failed(&ctx.core, &worker, &why).await;
            release(&ctx, item).await;
            noted
        }
        Answer::Unknown(why) => {
            let noted = failed(&ctx.core, &worker, &why).await;
            // A call that must not be made twice may have been made: the end of its lease asks a person.
            let is_once = item.tool.as_ref().is_some_and(|tool| tool.side_effect == SideEffect::Once);
            if !is_once {
                release(&ctx, item).await;
            }
            noted
        }
    };
    if let Err(cause) = noted {
        tracing::warn!(%cause, worker.id = %worker.id, "could not note how a delivery went");
    }
}

async fn post(core: &Core, worker: &Model, item: &ClaimedRun) -> Result<Answer> {
    let url = worker.delivery_url.as_deref().unwrap_or_default();
    let url = Url::parse(url).map_err(Error::internal)?;
    let body = serde_json::to_vec(item).map_err(Error::internal)?;
    let id = format!("msg_{}", core.ids.next().simple());
    let request = Request {
        headers: signature::headers(core, worker, &id, &body)?,
        body: Some(body.into()),
        timeout: TIMEOUT,
        ..Request::new(Method::POST, url)
    };
    // The head is the answer; nothing is read behind it.
    Ok(match core.egress.stream(request).await {
        Ok(response) if (200..300).contains(&response.status) => Answer::Taken,
        Ok(response) => Answer::NotTaken(format!("It answered HTTP {}.", response.status)),
        Err(error) if was_not_sent(&error) => Answer::NotTaken(error.to_string()),
        Err(error) => Answer::Unknown(error.to_string()),
    })
}

fn was_not_sent(error: &EgressError) -> bool {
    matches!(
        error,
        EgressError::InvalidUrl { .. }
            | EgressError::InvalidHeader { .. }
            | EgressError::Blocked { .. }
            | EgressError::Resolve { .. }
            | EgressError::Connect { .. }
            | EgressError::Tls { .. }
            | EgressError::Busy { .. }
            | EgressError::CircuitOpen { .. }
    )
}

/// Gives the run back: it consumes no attempt. Where that does not succeed, the end of the lease does it.
async fn release(ctx: &Ctx, item: ClaimedRun) {
    let ctx = Ctx { operation: "release_attempt", ..ctx.clone() };
    for pause in 0..RELEASES {
        let body = ReleaseAttempt { lease_token: item.lease_token.clone(), claim_next: false };
        match run_attempts::release(&ctx, item.run.id, item.attempt, body).await {
            Err(Error::Unavailable { .. }) => tokio::time::sleep(LOOK * (1 << pause)).await,
            // The worker may have ended it, whatever it answered.
            Ok(_) | Err(Error::Conflict { .. } | Error::NotFound { .. }) => return,
            Err(cause) => {
                tracing::warn!(%cause, run.id = %item.run.id, "could not give a run back");
                return;
            }
        }
    }
}

async fn taken(core: &Core, worker: &Model) -> Result<()> {
    let now = core.clock.now();
    let tx = engine_db(core).begin().await?;
    let values = vec![worker.tenant_id.into(), worker.id.into(), now.into(), (now - TOOK).into()];
    tx.execute(TAKEN, values).await?;
    tx.commit().await
}

async fn failed(core: &Core, worker: &Model, why: &str) -> Result<()> {
    let (now, failures) = (core.clock.now(), worker.delivery_failures.saturating_add(1));
    let tx = engine_db(core).begin().await?;
    let key = [worker.tenant_id.into(), worker.id.into()];
    let values = [worker.delivery_failures.into(), back_off(now, failures).into(), why.into()];
    let counted = tx.execute(FAILED, [&key[..], &values[..]].concat()).await?.rows_affected();
    tx.commit().await?;
    if counted > 0 && failures >= MOST_FAILURES {
        let reason = format!("It did not take {failures} deliveries in a row. The last one: {why}");
        return pause(core, worker, &reason).await;
    }
    Ok(())
}

fn back_off(now: DateTime<Utc>, failures: i32) -> DateTime<Utc> {
    let seconds = 1_i64.checked_shl(failures.unsigned_abs()).unwrap_or(LONGEST_BACK_OFF);
    now + TimeDelta::seconds(seconds.clamp(1, LONGEST_BACK_OFF))
}

/// As a person would, with an audit row of the platform's.
async fn pause(core: &Core, worker: &Model, reason: &str) -> Result<()> {
    let tx = engine_db(core).begin().await?;
    let key = [worker.tenant_id.into(), worker.id.into()];
    let values = [core.clock.now().into(), reason.into()];
    if tx.execute(PAUSE, [&key[..], &values[..]].concat()).await?.rows_affected() == 0 {
        return Ok(());
    }
    let change = Change::of::<Entity>(worker.id).with(json!({ "reason": reason }));
    let entry = Entry::of_platform("system", "pause_worker", worker.tenant_id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    tx.commit().await
}
