//! The timeline of a run, as pages and as a stream. An event is stored first and shown then.

use std::time::Duration;

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::tasks::run_event::{Column, Entity, Model};
use futures_util::Stream;
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{load, tree_events};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub(super) const PAGE: u64 = 200;
/// Other nodes' events are seen by looking.
pub(super) const LOOK: Duration = Duration::from_millis(500);
const MOST_TYPES: usize = 20;

/// One entry of a run's timeline.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunEventView {
    /// Whose event it is.
    pub run_id: Uuid,
    /// Counts from 1 in each run; without `children` it is the `Last-Event-ID` of the stream.
    pub seq: i64,
    /// Such as `run.started`, `step.completed`, `model.delta`.
    #[serde(rename = "type")]
    pub kind: String,
    pub data: Value,
    pub created_at: DateTime<Utc>,
}

crate::crud::page!(EventPage, RunEventView);

/// Which events, from where.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Only events behind this sequence number; the stream also takes `Last-Event-ID`. Not with `children`.
    #[param(minimum = 0)]
    pub after: Option<i64>,
    /// `nextCursor` of the page before, or with `children` the id of an event of the stream.
    #[param(max_length = 80)]
    pub cursor: Option<String>,
    /// How many events a page holds.
    #[param(minimum = 1, maximum = 200, default = 200)]
    pub limit: Option<u64>,
    /// Only these types, separated by commas: `run.completed,model.delta`.
    #[param(max_length = 500)]
    pub types: Option<String>,
    /// The events of all that the run started, too, and of what those did.
    pub children: Option<bool>,
}

/// Only these types, if any are named.
///
/// # Errors
/// 422 at `types`.
pub(crate) fn parse_types(types: Option<&str>) -> Result<Option<Vec<String>>> {
    let Some(types) = types else { return Ok(None) };
    let types: Vec<String> = types.split(',').map(|kind| kind.trim().to_owned()).collect();
    if types.len() > MOST_TYPES {
        return Err(Error::invalid("types", "max_items", format!("At most {MOST_TYPES} types.")));
    }
    Ok(Some(types))
}

impl EventFilter {
    pub fn with_children(&self) -> bool {
        self.children.unwrap_or_default()
    }

    fn start(&self) -> Result<i64> {
        let Some(cursor) = &self.cursor else { return Ok(self.after.unwrap_or(0)) };
        let wrong = || Error::invalid("cursor", "range", "cursor is a sequence number.");
        cursor.parse().ok().filter(|seq| *seq >= 0).ok_or_else(wrong)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.unwrap_or(PAGE)
    }

    pub(super) fn types(&self) -> Result<Option<Vec<String>>> {
        parse_types(self.types.as_deref())
    }
}

impl From<Model> for RunEventView {
    fn from(event: Model) -> Self {
        let Model { tenant_id: _, run_id, seq, kind, data, created_at, position: _ } = event;
        Self { run_id, seq, kind, data, created_at }
    }
}

pub async fn list_events(ctx: &Ctx, run: Uuid, filter: &EventFilter) -> Result<EventPage> {
    if filter.with_children() {
        return tree_events::list(ctx, run, filter).await;
    }
    load(ctx, run).await?;
    let limit = filter.limit();
    let mut data = read(ctx, run, filter.start()?, filter.types()?.as_deref(), limit + 1).await?;
    let has_more = u64::try_from(data.len()).unwrap_or(u64::MAX) > limit;
    data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = data.last().filter(|_| has_more).map(|last| last.seq.to_string());
    Ok(EventPage { data, next_cursor, has_more, total: None })
}

async fn read(
    ctx: &Ctx,
    run: Uuid,
    after: i64,
    types: Option<&[String]>,
    limit: u64,
) -> Result<Vec<RunEventView>> {
    let db = ctx.db();
    let mut query = db.find::<Entity>().filter(Column::RunId.eq(run)).filter(Column::Seq.gt(after));
    if let Some(types) = types {
        query = query.filter(Column::Kind.is_in(types));
    }
    let events = query.order_by(Column::Seq, Order::Asc).limit(limit).all().await?;
    Ok(events.into_iter().map(RunEventView::from).collect())
}

/// The events of a run from a place on, until the run is terminal.
pub async fn follow(
    ctx: Ctx,
    run: Uuid,
    filter: EventFilter,
) -> Result<impl Stream<Item = Result<RunEventView>> + Send> {
    load(&ctx, run).await?;
    let (mut after, types) = (filter.start()?, filter.types()?);
    let mut subscription = ctx.core.engine.watch(run);
    Ok(try_stream! {
        loop {
            // Looked at before the events are read: an ended run has no events but those.
            let ended = load(&ctx, run).await?.status.is_terminal();
            loop {
                let events = read(&ctx, run, after, types.as_deref(), PAGE).await?;
                let more = events.len() as u64 == PAGE;
                for event in events {
                    after = event.seq;
                    yield event;
                }
                if !more {
                    break;
                }
            }
            if ended {
                return;
            }
            tokio::select! {
                _ = subscription.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    })
}
