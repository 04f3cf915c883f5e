//! Satisfying the waits that have a key: with an event, or with the delivery of a hook.
//!
//! An event may come before the wait for it is registered: then the engine, which looks after each registration,
//! finds the event. What a run has waited for before does not satisfy it again.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::event::Model as Event;
use entity::tasks::run_wait::{Column, Entity, Model, WaitKind, WaitStatus};
use sea_orm::{ColumnTrait as _, Order};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Satisfied;
use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::engine::transitions::{self, Answer, Resumed};
use crate::error::Result;
use crate::tasks::task_runs::RunStatus;

/// Waits that one event may satisfy.
const MOST: u64 = 500;
/// Waits of one look for events that came before them, and how long after its registration a wait is looked at:
/// far longer than a transaction may last.
const MOST_LATE: usize = 200;
const LATE: TimeDelta = TimeDelta::minutes(1);

/// What came for a key: what a call that waited gives, and who is told to have brought it.
pub(crate) struct Came {
    pub output: Value,
    pub by: String,
    pub event: Option<Uuid>,
}

impl Came {
    pub fn of(event: &Event) -> Self {
        let output = json!({ "id": event.id, "type": event.kind, "data": event.data });
        Self { output, by: format!("event:{}", event.id), event: Some(event.id) }
    }
}

/// The open waits for the event that the caller sees.
pub(super) async fn of_key(ctx: &Ctx, event: &Event) -> Result<Vec<Model>> {
    let Some(key) = &event.correlation_key else { return Ok(Vec::new()) };
    let db = ctx.db();
    let mut waits = db
        .list::<Entity>()
        .filter(Column::Key.eq(key.as_str()))
        .filter(Column::Kind.eq(WaitKind::ExternalEvent))
        .filter(Column::Status.eq(WaitStatus::Open));
    if let Some(workspace) = event.workspace_id {
        waits = waits.filter(Column::WorkspaceId.eq(workspace));
    }
    waits.order_by(Column::RunId, Order::Asc).limit(MOST).all().await
}

/// Satisfies those of the waits, in the order of their runs, that are open still.
pub(super) async fn satisfy(
    tx: &SystemTx,
    waits: &[Model],
    came: &Came,
    now: DateTime<Utc>,
) -> Result<Satisfied> {
    let mut resumed: Vec<Resumed> = Vec::new();
    for wait in waits {
        transitions::lock(tx, wait.tenant_id, wait.run_id).await?;
        let answer = Answer { output: came.output.clone(), by: came.by.clone(), event: came.event };
        if transitions::answer(tx, wait.tenant_id, wait.id, answer, now).await?.is_some() {
            let data = json!({ "waitId": wait.id, "kind": wait.kind, "key": wait.key, "by": came.by });
            resumed.push(Resumed { tenant: wait.tenant_id, run: wait.run_id, data });
        }
    }
    let satisfied = resumed.len();
    resumed.dedup_by_key(|resumed| resumed.run);
    let runs = transitions::satisfy_if_answered(tx, &resumed, now).await?;
    Ok(Satisfied { satisfied, runs })
}

/// Satisfies the waits for the key in one workspace, or in none, with what came; how many there were.
pub(crate) async fn resume(
    core: &Core,
    tx: &SystemTx,
    (tenant, workspace): (Uuid, Option<Uuid>),
    key: &str,
    came: &Came,
) -> Result<Satisfied> {
    let db = core.db.tenant(tenant);
    let within = match workspace {
        Some(id) => Column::WorkspaceId.eq(id),
        None => Column::WorkspaceId.is_null(),
    };
    let waits = db
        .find::<Entity>()
        .filter(Column::Key.eq(key))
        .filter(Column::Kind.eq(WaitKind::ExternalEvent))
        .filter(Column::Status.eq(WaitStatus::Open))
        .filter(within);
    let waits = waits.order_by(Column::RunId, Order::Asc).limit(MOST).all().await?;
    satisfy(tx, &waits, came, core.clock.now()).await
}

/// Satisfies waits that were registered lately with events that had come before them.
pub(crate) async fn catch_up(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let system = core.db.system(Reason::Engine);
    let sql = format!(
        "SELECT w.tenant_id, w.id AS wait_id, (SELECT e.id FROM event e \
         WHERE e.tenant_id = w.tenant_id AND e.correlation_key = w.key AND e.created_at >= r.created_at \
         AND e.workspace_id IS NOT DISTINCT FROM w.workspace_id \
         AND NOT EXISTS (SELECT 1 FROM run_wait p WHERE p.tenant_id = w.tenant_id AND p.run_id = w.run_id \
         AND p.event_id = e.id) ORDER BY e.id LIMIT 1) AS event_id \
         FROM run_wait w JOIN task_run r ON r.tenant_id = w.tenant_id AND r.id = w.run_id \
         WHERE w.status = 'OPEN' AND w.key IS NOT NULL AND w.created_at > $1 ORDER BY w.created_at LIMIT {MOST_LATE}"
    );
    let rows = system.query(&sql, vec![(now - LATE).into()]).await?;
    for row in rows {
        let (tenant, wait): (Uuid, Uuid) = (row.try_get("", "tenant_id")?, row.try_get("", "wait_id")?);
        let Some(event): Option<Uuid> = row.try_get("", "event_id")? else { continue };
        let db = core.db.tenant(tenant);
        let wait = db.get::<Entity>(wait).await?;
        let event = db.get::<entity::tasks::event::Entity>(event).await?;
        let Some((wait, event)) = wait.zip(event) else { continue };
        let tx = core.db.system(Reason::Engine).begin().await?;
        let resumed = satisfy(&tx, &[wait], &Came::of(&event), now).await?;
        if resumed.satisfied > 0 {
            let sql = "UPDATE event SET resumed = resumed + 1 WHERE tenant_id = $1 AND id = $2";
            tx.execute(sql, vec![tenant.into(), event.id.into()]).await?;
        }
        tx.commit().await?;
        for run in resumed.runs {
            core.engine.announce(run, RunStatus::Pending);
        }
    }
    Ok(())
}
