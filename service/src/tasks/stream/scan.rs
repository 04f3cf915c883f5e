//! Pages of the index of events. Each statement reads a bounded part of it, whoever asks: what a reader is not
//! to see is read past.

use chrono::{DateTime, Utc};
use entity::tasks::run_event;
use sea_orm::{FromQueryResult as _, QueryResult, Value};
use uuid::Uuid;

use super::place::Place;
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub(super) const PAGE: u64 = 200;

/// The end of what can be read, as it was seen.
pub(super) struct Edge {
    /// Below it no event can come any more.
    pub settled: i64,
    /// The greatest place of an event that is stored.
    newest: i64,
    pub seen_at: DateTime<Utc>,
    /// Where a reader begins who wants what comes.
    pub now: Place,
}

/// An event, and its run if that is still there.
pub(super) struct Scanned {
    /// Behind the event.
    pub place: Place,
    pub event: run_event::Model,
    pub run: Option<RunOf>,
}

pub(super) struct RunOf {
    pub workspace_id: Option<Uuid>,
    pub definition_id: Option<Uuid>,
    pub agent_id: Option<Uuid>,
}

pub(super) struct Page {
    pub rows: Vec<Scanned>,
    /// The place behind them, where there is nothing more for now.
    pub end: Option<Place>,
}

pub(super) struct Scan {
    ctx: Ctx,
}

impl Scan {
    pub fn new(ctx: Ctx) -> Self {
        Self { ctx }
    }

    pub async fn edge(&self) -> Result<Edge> {
        let sql = format!(
            "SELECT MAX(position) AS newest, {} AS settled FROM run_event WHERE tenant_id = $1",
            self.ctx.core.db.dialect().settled_events()
        );
        let seen_at = self.ctx.core.clock.now();
        let rows = self.ctx.db().query(&sql, Vec::new()).await?;
        let row = rows.first().ok_or_else(|| Error::internal("an aggregate has one row"))?;
        let settled: i64 = row.try_get("", "settled")?;
        let newest = row.try_get::<Option<i64>>("", "newest")?.unwrap_or_default();
        // What others are about to commit is not passed over.
        let now = Place { position: settled.min(newest + 1), taken: 0, at: seen_at.timestamp_millis() };
        Ok(Edge { settled, newest, seen_at, now })
    }

    /// The next events behind a place. The end is asked first: what is below it then is seen afterwards.
    pub async fn behind(&self, place: Place) -> Result<Page> {
        let edge = self.edge().await?;
        let end = Place { position: edge.settled.max(place.position), taken: 0, at: edge.now.at };
        if edge.newest < place.position || edge.settled <= place.position {
            let end = if end.position == place.position { Place { at: end.at, ..place } } else { end };
            return Ok(Page { rows: Vec::new(), end: Some(end) });
        }
        let values = vec![place.position.into(), edge.settled.into(), place.taken.into()];
        let found = self.read("position >= $2 AND position < $3", "", "$4", values).await?;
        let is_page = found.len() as u64 == PAGE;
        let mut last = place;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            let mut scanned = scanned(row)?;
            let taken = if scanned.event.position == last.position { last.taken + 1 } else { 1 };
            scanned.place.taken = taken;
            last = scanned.place;
            rows.push(scanned);
        }
        Ok(Page { rows, end: (!is_page).then_some(end) })
    }

    /// The newest events before the edge, the newest first.
    pub async fn before(&self, edge: &Edge, page: usize) -> Result<Vec<Scanned>> {
        let passed = i64::try_from(page).unwrap_or(i64::MAX).saturating_mul(PAGE as i64);
        let values = vec![edge.now.position.into(), passed.into()];
        self.read("position < $2", " DESC", "$3", values).await?.iter().map(scanned).collect()
    }

    async fn read(
        &self,
        condition: &str,
        direction: &str,
        offset: &str,
        values: Vec<Value>,
    ) -> Result<Vec<QueryResult>> {
        let order = |of: &str| {
            ["position", "run_id", "seq"].map(|column| format!("{of}{column}{direction}")).join(", ")
        };
        let sql = format!(
            "SELECT e.*, r.id AS known_id, r.workspace_id, r.definition_id, r.agent_id FROM \
             (SELECT * FROM run_event WHERE tenant_id = $1 AND {condition} ORDER BY {} LIMIT {PAGE} OFFSET {offset}) e \
             LEFT JOIN task_run r ON r.tenant_id = $1 AND r.id = e.run_id ORDER BY {}",
            order(""),
            order("e."),
        );
        Ok(self.ctx.db().query(&sql, values).await?)
    }
}

fn scanned(row: &QueryResult) -> Result<Scanned> {
    let event = run_event::Model::from_query_result(row, "")?;
    let known: Option<Uuid> = row.try_get("", "known_id")?;
    let run = match known {
        None => None,
        Some(_) => Some(RunOf {
            workspace_id: row.try_get("", "workspace_id")?,
            definition_id: row.try_get("", "definition_id")?,
            agent_id: row.try_get("", "agent_id")?,
        }),
    };
    let place = Place { position: event.position, taken: 0, at: event.created_at.timestamp_millis() };
    Ok(Scanned { place, event, run })
}
