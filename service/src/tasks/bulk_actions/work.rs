//! The loop that works bulk actions off: any number of nodes, each action one node's for a while, a page of runs
//! at a time. What a killed node had not committed is done by the next.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::tenant::TenantStatus;
use entity::tasks::bulk_action::{Entity, Model};
use entity::tasks::task_run;
use sea_orm::{ColumnTrait as _, FromQueryResult as _, Order};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{BulkFilter, BulkKind, item};
use crate::auth::permissions::bulk_actions::Write;
use crate::auth::principal::{self, RequestInfo};
use crate::core::Core;
use crate::crud::document;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};

const POLL: Duration = Duration::from_secs(1);
/// Actions of one look, and runs of one page.
const ACTIONS: i64 = 16;
const PAGE: u64 = 50;
/// How long an action is its node's; longer than a page takes.
const WORKED: TimeDelta = TimeDelta::seconds(30);
/// Runs that one action acts on.
const MOST_ITEMS: i64 = 100_000;
const FORGET_EVERY: TimeDelta = TimeDelta::minutes(1);
const KEPT: TimeDelta = TimeDelta::days(30);

const OPEN: &str = "SELECT tenant_id, id FROM bulk_action WHERE status IN ('DRAFT', 'RUNNING') AND status = 'RUNNING' \
     AND (worked_until IS NULL OR worked_until <= $1 OR worked_by = $2) \
     ORDER BY COALESCE(worked_until, created_at) LIMIT $3";
const TAKE: &str = "UPDATE bulk_action SET worked_by = $4, worked_until = $5 \
     WHERE tenant_id = $1 AND id = $2 AND status = 'RUNNING' \
     AND (worked_until IS NULL OR worked_until <= $3 OR worked_by = $4) RETURNING *";
const END: &str = "UPDATE bulk_action SET status = $3, status_reason = $4, completed_at = $5, updated_at = $5, \
     revision = revision + 1 WHERE tenant_id = $1 AND id = $2 AND status = 'RUNNING'";
const FORGET_ITEMS: &str = "DELETE FROM bulk_action_item WHERE (tenant_id, id) IN (SELECT i.tenant_id, i.id \
     FROM bulk_action b JOIN bulk_action_item i ON i.tenant_id = b.tenant_id AND i.bulk_action_id = b.id \
     WHERE b.completed_at IS NOT NULL AND b.completed_at < $1 LIMIT 1000)";
const FORGET_DRAFTS: &str = "DELETE FROM bulk_action WHERE status = 'DRAFT' AND created_at < $1";
const FORGET: &str = "DELETE FROM bulk_action WHERE completed_at IS NOT NULL AND completed_at < $1 AND NOT EXISTS \
     (SELECT 1 FROM bulk_action_item i WHERE i.tenant_id = bulk_action.tenant_id AND i.bulk_action_id = bulk_action.id)";

/// Works until `stop`.
pub async fn work(core: Core, stop: CancellationToken) {
    let mut tick = tokio::time::interval(POLL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgotten_at = DateTime::UNIX_EPOCH;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if core.quarantine.is_on() {
            continue;
        }
        while !stop.is_cancelled() {
            match work_once(&core).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(cause) => {
                    tracing::warn!(%cause, "bulk actions could not go on");
                    break;
                }
            }
        }
        let now = core.clock.now();
        if now - forgotten_at >= FORGET_EVERY {
            forgotten_at = now;
            if let Err(cause) = forget(&core, now).await {
                tracing::warn!(%cause, "could not forget old bulk actions");
            }
        }
    }
}

/// A page of each action that no other node works on; answers with how many runs were acted on.
pub async fn work_once(core: &Core) -> Result<usize> {
    let system = core.db.system(Reason::Engine);
    let (now, node) = (core.clock.now(), core.engine.instance());
    let mut acted = 0;
    for row in system.query(OPEN, vec![now.into(), node.into(), ACTIONS.into()]).await? {
        let (tenant, id): (uuid::Uuid, uuid::Uuid) = (row.try_get("", "tenant_id")?, row.try_get("", "id")?);
        let tx = system.begin().await?;
        let values = vec![tenant.into(), id.into(), now.into(), node.into(), (now + WORKED).into()];
        let taken = tx.query(TAKE, values).await?;
        tx.commit().await?;
        let Some(row) = taken.first() else { continue };
        acted += page(core, Model::from_query_result(row, "")?).await?;
    }
    Ok(acted)
}

async fn page(core: &Core, action: Model) -> Result<usize> {
    let maker = principal::of_maker(core, action.tenant_id, action.user_id, action.api_key_id).await?;
    let Some(maker) = maker else {
        fail(core, &action, "Who created it does not belong to the tenant any more.").await?;
        return Ok(0);
    };
    // What is not active starts nothing: the action goes on when it is again.
    if maker.tenant_status != TenantStatus::Active && action.kind != BulkKind::Cancel {
        return Ok(0);
    }
    let ctx = match maker.authorize::<Write>(core, &request(&action)) {
        Ok(ctx) => ctx,
        Err(Error::Forbidden { .. } | Error::Denied { .. }) => {
            fail(core, &action, "Who created it has not the right to any more.").await?;
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    if action.succeeded + action.skipped + action.failed >= MOST_ITEMS {
        complete(core, &action, Some("It acted on as many runs as one action may.")).await?;
        return Ok(0);
    }
    let filter: BulkFilter = document::read(action.filter.clone());
    let runs = ctx
        .db()
        .find::<task_run::Entity>()
        .filter(filter.condition(action.kind)?)
        .filter(task_run::Column::Id.gt(action.position))
        .filter(task_run::Column::Id.lte(action.last_id))
        .order_by(task_run::Column::Id, Order::Asc)
        .limit(PAGE)
        .all()
        .await?;
    if runs.is_empty() {
        complete(core, &action, None).await?;
        return Ok(0);
    }
    let mut acted = 0;
    for run in runs {
        match item::act(&ctx, &action, run).await {
            Ok(true) => acted += 1,
            // Aborted, or another node's by now.
            Ok(false) => break,
            // The queue is full, or the database busy: later.
            Err(Error::RateLimited { .. } | Error::Unavailable { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(acted)
}

fn request(action: &Model) -> RequestInfo {
    let operation = match action.kind {
        BulkKind::Cancel => "cancel_task_run",
        BulkKind::Retry => "retry_task_run",
        BulkKind::Replay => "replay_task_run",
    };
    RequestInfo { request_id: format!("bulk-{}", action.id), operation, ip: None, idempotency: None }
}

/// What was done is in the audit log, run by run.
async fn complete(core: &Core, action: &Model, reason: Option<&str>) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let values = vec![
        action.tenant_id.into(),
        action.id.into(),
        "COMPLETED".into(),
        reason.map(str::to_owned).into(),
        core.clock.now().into(),
    ];
    tx.execute(END, values).await?;
    tx.commit().await
}

async fn fail(core: &Core, action: &Model, reason: &'static str) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let values = vec![
        action.tenant_id.into(),
        action.id.into(),
        "FAILED".into(),
        reason.into(),
        core.clock.now().into(),
    ];
    if tx.execute(END, values).await?.rows_affected() == 0 {
        return Ok(());
    }
    let change = Change::of::<Entity>(action.id).with(json!({ "reason": reason }));
    let entry = Entry::of_platform("system", "fail_bulk_action", action.tenant_id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    tx.commit().await
}

async fn forget(core: &Core, now: DateTime<Utc>) -> Result<()> {
    let tx = core.db.system(Reason::Engine).begin().await?;
    let old = now - KEPT;
    tx.execute(FORGET_ITEMS, vec![old.into()]).await?;
    tx.execute(FORGET, vec![old.into()]).await?;
    tx.execute(FORGET_DRAFTS, vec![old.into()]).await?;
    tx.commit().await
}
