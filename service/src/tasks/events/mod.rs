//! Events: what happened elsewhere, posted by programs. One starts the definitions whose filter it matches and
//! satisfies the waits that have its key.
//!
//! Invariants: the event, its runs and what it satisfied are one transaction; an event with a `dedupeId` that there
//! is already starts nothing and is answered with the first.

mod matching;
mod view;
mod waits;

use std::collections::HashMap;

use entity::tasks::event::{Column, Entity, Model};
use entity::tasks::event_run;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition as Sql, EntityTrait as _, IntoActiveModel as _, Order,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use matching::refusal_of;
pub use view::{CreateEvent, EventFilter, EventRunStatus, EventRunView, EventView, PostedEventPage};
pub(crate) use waits::{Came, catch_up, resume};

use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::db::{Reason, SystemTx};
use crate::error::{Error, Result};
use crate::identity::workspaces;
use crate::tasks::task_runs::RunStatus;

/// Bytes of an event's data as JSON: runs are given it.
const MOST_BYTES: usize = 256 << 10;

/// An event, and whether it is new.
pub struct Posted {
    pub event: EventView,
    pub is_new: bool,
}

/// Posts an event.
///
/// # Errors
/// 409 `too_many_matches` when it matches more definitions than one event may start.
pub async fn create(ctx: &Ctx, body: CreateEvent) -> Result<Posted> {
    if let Some(event) = ctx.replay().await? {
        return Ok(Posted { event, is_new: true });
    }
    let workspace = workspaces::admit(ctx, body.workspace_id).await?;
    check(&body)?;
    if let Some(first) = first_of(ctx, workspace, body.dedupe_id.as_deref()).await? {
        return again(ctx, first).await;
    }
    let event = event(ctx, workspace, body);
    let mut started = matching::start(ctx, &event).await?;
    let waits = waits::of_key(ctx, &event).await?;
    let tx = ctx.core.db.system(Reason::Engine).begin().await?;
    if !tx.insert_new(event.clone()).await? {
        drop(tx);
        let first = first_of(ctx, workspace, event.dedupe_id.as_deref()).await?;
        return again(ctx, first.ok_or_else(|| Error::internal("an event was neither made nor found"))?)
            .await;
    }
    let launched = started.launch.create(&tx).await?;
    started.settle(&launched)?;
    insert_all(&tx, &started.rows).await?;
    let resumed = waits::satisfy(&tx, &waits, &Came::of(&event), ctx.core.clock.now()).await?;
    let event = note_resumed(&tx, event, resumed.satisfied).await?;
    let view = EventView::new(event, started.rows);
    ctx.keep_answer(&tx, &view).await?;
    tx.commit().await?;
    started.launch.committed(&ctx.core, launched);
    for run in resumed.runs {
        ctx.core.engine.announce(run, RunStatus::Pending);
    }
    Ok(Posted { event: view, is_new: true })
}

fn check(body: &CreateEvent) -> Result<()> {
    if body.data.to_string().len() > MOST_BYTES {
        let message = format!("The data of an event has at most {MOST_BYTES} bytes as JSON.");
        return Err(Error::invalid("/data", "length", message));
    }
    Ok(())
}

fn event(ctx: &Ctx, workspace_id: Option<Uuid>, body: CreateEvent) -> Model {
    let CreateEvent { kind, data, source, dedupe_id, correlation_key, workspace_id: _ } = body;
    Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        workspace_id,
        kind,
        data,
        source,
        dedupe_id,
        correlation_key,
        resumed: 0,
        created_by: ctx.actor.to_string(),
        request_id: ctx.request_id.clone(),
        created_at: ctx.core.clock.now(),
    }
}

/// The event that has the id already. One of another workspace is another's.
async fn first_of(ctx: &Ctx, workspace: Option<Uuid>, dedupe: Option<&str>) -> Result<Option<Model>> {
    let Some(dedupe) = dedupe else { return Ok(None) };
    let within = match workspace {
        Some(id) => Column::WorkspaceId.eq(id),
        None => Column::WorkspaceId.is_null(),
    };
    let db = ctx.db();
    db.everywhere::<Entity>().filter(Column::DedupeId.eq(dedupe)).filter(within).one().await
}

async fn again(ctx: &Ctx, first: Model) -> Result<Posted> {
    let event = shown(ctx, vec![first]).await?.into_iter().next();
    let event = event.ok_or_else(|| Error::internal("one event is one view"))?;
    ctx.keep(&event).await?;
    Ok(Posted { event, is_new: false })
}

async fn insert_all(tx: &SystemTx, rows: &[event_run::Model]) -> Result<()> {
    if !rows.is_empty() {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        event_run::Entity::insert_many(rows).exec_without_returning(tx.connection()).await?;
    }
    Ok(())
}

async fn note_resumed(tx: &SystemTx, mut event: Model, satisfied: usize) -> Result<Model> {
    event.resumed = i32::try_from(satisfied).unwrap_or(i32::MAX);
    if event.resumed > 0 {
        let sql = "UPDATE event SET resumed = $3 WHERE tenant_id = $1 AND id = $2";
        tx.execute(sql, vec![event.tenant_id.into(), event.id.into(), event.resumed.into()]).await?;
    }
    Ok(event)
}

/// One page of the tenant's events, each with what it started.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: EventFilter) -> Result<Page<EventView>> {
    let EventFilter { kind, correlation_key, dedupe_id, workspace_id } = filter;
    let all = Sql::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(correlation_key.map(|key| Column::CorrelationKey.eq(key)))
        .add_option(dedupe_id.map(|id| Column::DedupeId.eq(id)))
        .add_option(workspace_id.map(|id| Column::WorkspaceId.eq(id)));
    let page = crud::rows::<Entity>(ctx, paging, all).await?;
    let Page { data, next_cursor, has_more, total } = page;
    Ok(Page { data: shown(ctx, data).await?, next_cursor, has_more, total })
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<EventView> {
    let found = ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("event"))?;
    let shown = shown(ctx, vec![found]).await?.into_iter().next();
    shown.ok_or_else(|| Error::internal("one event is one view"))
}

/// The events with what they started, as far as the caller sees it.
async fn shown(ctx: &Ctx, events: Vec<Model>) -> Result<Vec<EventView>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let db = ctx.db();
    let started = db.list::<event_run::Entity>().filter(event_run::Column::EventId.is_in(ids));
    let started = started.order_by(event_run::Column::DefinitionId, Order::Asc).all().await?;
    let mut of_event: HashMap<Uuid, Vec<event_run::Model>> = HashMap::new();
    started.into_iter().for_each(|row| of_event.entry(row.event_id).or_default().push(row));
    let view = |event: Model| {
        let started = of_event.remove(&event.id).unwrap_or_default();
        EventView::new(event, started)
    };
    Ok(events.into_iter().map(view).collect())
}

/// What templates and waiting calls read of an event.
fn context(event: &Model) -> Value {
    json!({ "event": {
        "id": event.id, "type": event.kind, "data": event.data, "source": event.source,
        "correlationKey": event.correlation_key, "createdAt": event.created_at,
    } })
}

/// The runs that go on, and how many waits were satisfied.
pub(crate) struct Satisfied {
    pub satisfied: usize,
    pub runs: Vec<Uuid>,
}
