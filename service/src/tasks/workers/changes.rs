//! Registering workers, pausing and draining them, and taking them out of the list.

use entity::tasks::worker::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait as _, Set};
use uuid::Uuid;

use super::views::{PauseWorker, RegisterWorker, RegisteredWorkerView, WorkerView};
use super::{Workers, delivery};
use crate::crud::{self, Expected, Once, Resource as _, document, metadata};
use crate::ctx::Ctx;
use crate::db::{Violation, on_violation};
use crate::engine::remote;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

/// Workers of a tenant.
const MOST: u64 = 1_000;

/// Makes a worker known, or known anew: under a name that is known it is the same worker, whose drain is over.
///
/// # Errors
/// 409 `too_many_workers`; 422 for a URL that may not be called.
pub async fn register(ctx: &Ctx, body: RegisterWorker) -> Result<RegisteredWorkerView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    if let Some(delivery) = &body.delivery {
        delivery.check(ctx)?;
    }
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let RegisterWorker { name, labels, mut capabilities, slots, delivery } = body;
    capabilities.sort();
    capabilities.dedup();
    let (labels, capabilities) = (metadata::stored(labels), document::stored(&capabilities)?);
    // Two that register under one name at once are one worker.
    tx.lock_tenant().await?;
    let now = ctx.core.clock.now();
    let known = tx.everywhere::<Entity>().filter(Column::Name.eq(name.as_str())).one().await?;
    if let Some(known) = known {
        let sealed = known.delivery_secret.clone();
        let (sealed, delivery_secret) = delivery::secret(ctx, known.id, delivery.as_ref(), sealed)?;
        // What it took when it was sent runs is no sign that it asks for them.
        let asks_anew = known.delivery_url.is_some() && delivery.is_none();
        let last_claim_at = if asks_anew { None } else { known.last_claim_at };
        let changes = ActiveModel {
            last_claim_at: Set(last_claim_at),
            delivery_url: Set(delivery.map(|delivery| delivery.url)),
            delivery_secret: Set(sealed),
            delivery_failures: Set(0),
            delivery_after: Set(None),
            delivery_error: Set(None),
            labels: Set(labels),
            capabilities: Set(capabilities),
            slots: Set(slots),
            drained_at: Set(None),
            last_seen_at: Set(now),
            registered_by: Set(ctx.actor.to_string()),
            ..ActiveModel::default()
        };
        let written = crud::write::<Workers>(ctx, &tx, known.id, known.revision, changes).await?;
        let row = written.ok_or_else(Workers::taken)?;
        let view = WorkerView::of(row, &ctx.core);
        let change = Change::updated::<Entity>(known.id, &WorkerView::of(known, &ctx.core), &view);
        let view = RegisteredWorkerView { worker: view, delivery_secret };
        tx.finish(change, &view).await?;
        return Ok(view);
    }
    if tx.everywhere::<Entity>().count(MOST).await? >= MOST {
        let message = format!("A tenant has at most {MOST} workers.");
        return Err(Error::conflict("too_many_workers", message));
    }
    let id = ctx.core.ids.next();
    let (sealed, delivery_secret) = delivery::secret(ctx, id, delivery.as_ref(), None)?;
    let row = Model {
        tenant_id: ctx.tenant,
        id,
        name,
        labels,
        capabilities,
        slots,
        paused_at: None,
        paused_reason: None,
        drained_at: None,
        last_seen_at: now,
        last_claim_at: None,
        registered_by: ctx.actor.to_string(),
        delivery_url: delivery.map(|delivery| delivery.url),
        delivery_secret: sealed,
        delivery_failures: 0,
        delivery_after: None,
        delivery_error: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row = tx.insert::<Entity>(row).await.map_err(on_violation(Violation::Unique, Workers::taken()))?;
    let view = WorkerView::of(row, &ctx.core);
    let change = Change::created::<Entity>(view.id, &view);
    let view = RegisteredWorkerView { worker: view, delivery_secret };
    tx.finish(change, &view).await?;
    Ok(view)
}

/// No new runs until it is resumed; those that it holds go on.
pub async fn pause(ctx: &Ctx, id: Uuid, body: PauseWorker) -> Result<WorkerView> {
    let PauseWorker { reason } = body;
    let at = Some(ctx.core.clock.now());
    let paused = |row: &Model| row.paused_at.is_none();
    change(
        ctx,
        id,
        paused,
        ActiveModel { paused_at: Set(at), paused_reason: Set(reason), ..ActiveModel::default() },
    )
    .await
}

pub async fn resume(ctx: &Ctx, id: Uuid) -> Result<WorkerView> {
    let changes = ActiveModel {
        paused_at: Set(None),
        paused_reason: Set(None),
        delivery_failures: Set(0),
        delivery_after: Set(None),
        ..ActiveModel::default()
    };
    change(ctx, id, |row| row.paused_at.is_some(), changes).await
}

/// No new runs; told to the worker at its next heartbeat, which ends when it holds none any more.
pub async fn drain(ctx: &Ctx, id: Uuid) -> Result<WorkerView> {
    let at = Some(ctx.core.clock.now());
    change(
        ctx,
        id,
        |row| row.drained_at.is_none(),
        ActiveModel { drained_at: Set(at), ..ActiveModel::default() },
    )
    .await
}

pub async fn undrain(ctx: &Ctx, id: Uuid) -> Result<WorkerView> {
    change(
        ctx,
        id,
        |row| row.drained_at.is_some(),
        ActiveModel { drained_at: Set(None), ..ActiveModel::default() },
    )
    .await
}

/// Asking for what is so already changes nothing.
async fn change(
    ctx: &Ctx,
    id: Uuid,
    differs: impl Fn(&Model) -> bool + Send,
    changes: ActiveModel,
) -> Result<WorkerView> {
    let tx = match ctx.begin_once().await? {
        Once::Replay(view) => return Ok(view),
        Once::First(tx) => tx,
    };
    let row = tx.get::<Entity>(id).await?.ok_or(Error::not_found("worker"))?;
    let before = WorkerView::of(row.clone(), &ctx.core);
    let row = match differs(&row) {
        false => row,
        true => {
            let written = crud::write::<Workers>(ctx, &tx, id, row.revision, changes).await?;
            written.ok_or_else(|| {
                Error::conflict("concurrent_update", "The worker is being changed by others: try again.")
            })?
        }
    };
    let view = WorkerView::of(row, &ctx.core);
    tx.finish(Change::updated::<Entity>(id, &before, &view), &view).await?;
    Ok(view)
}

/// Takes it out of the list. What it still held is queued again at once.
pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::delete::<Workers>(ctx, id, expected).await?;
    remote::let_go(&ctx.core, id).await
}
