//! What happens in all runs of a tenant, as one stream and as pages.
//!
//! Invariants: events come in the order of their commits, whichever node made them, each once behind the place
//! that its reader has; a reader costs one look at the end of an index twice a second, and pages of the index
//! while there is something to read. Nothing is done where nobody reads.

mod gap;
mod place;
mod scan;

use std::time::Duration;

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::tasks::task_run::RunStatus;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

pub use gap::{StreamGap, StreamGapReason};
use place::Place;
use scan::{Scan, Scanned};

use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::tasks::task_runs::parse_types;

/// Whichever node made them, events are seen by looking.
const LOOK: Duration = Duration::from_millis(500);
/// Looks without anything to tell after which a reader is told how far it is: fifteen seconds.
const QUIET_LOOKS: u32 = 30;
const DEFAULT_LIMIT: u64 = 50;
/// Pages of the index that are read at most for one page of JSON.
const MOST_SCANS: usize = 10;

/// Which runs' events, from where.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct StreamFilter {
    /// Only these types, separated by commas: `run.completed,run.failed`.
    #[param(max_length = 500)]
    pub types: Option<String>,
    /// Only runs of this agent.
    pub agent_id: Option<Uuid>,
    /// Only runs of this definition.
    pub definition_id: Option<Uuid>,
    /// The id of an event, or `next` of a page: what comes behind it. The stream also takes `Last-Event-ID`.
    #[param(max_length = 80)]
    pub after: Option<String>,
    /// How many events a page holds.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u64>,
}

/// Something that happened in a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamEventView {
    pub run_id: Uuid,
    /// Its number in the run's own timeline.
    pub seq: i64,
    /// Such as `run.started`, `step.completed`, `model.delta`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the run became by it; null where it did not change the status.
    #[schema(required)]
    pub status: Option<RunStatus>,
    pub data: Value,
    pub created_at: DateTime<Utc>,
    #[schema(required)]
    pub workspace_id: Option<Uuid>,
    #[schema(required)]
    pub definition_id: Option<Uuid>,
    #[schema(required)]
    pub agent_id: Option<Uuid>,
}

/// Events in the order of their commits.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamPage {
    pub data: Vec<StreamEventView>,
    /// Give it as `after` to get what comes behind; there is always one.
    pub next: String,
    /// Whether more is there already.
    pub has_more: bool,
    /// Where `after` could not be gone on behind: something may be missing before `data`.
    #[schema(required)]
    pub gap: Option<StreamGap>,
}

/// What a reader of the stream is told, with the place to go on behind.
pub enum Told {
    Event(String, StreamEventView),
    Gap(String, StreamGap),
    /// Nothing happened that the reader is to see; their place has moved.
    Place(String),
}

/// What the run has become by an event of this type.
fn status(kind: &str) -> Option<RunStatus> {
    Some(match kind {
        "run.created" | "run.resumed" | "run.retrying" | "run.released" | "run.lease_lost"
        | "run.retried" => RunStatus::Pending,
        "run.started" | "run.cancel_requested" => RunStatus::Running,
        "run.waiting" => RunStatus::Waiting,
        "run.completed" => RunStatus::Completed,
        "run.failed" => RunStatus::Failed,
        "run.cancelled" => RunStatus::Cancelled,
        _ => return None,
    })
}

/// Whose events a reader is given.
struct Wanted {
    ctx: Ctx,
    types: Option<Vec<String>>,
    agent_id: Option<Uuid>,
    definition_id: Option<Uuid>,
}

impl Wanted {
    fn new(ctx: Ctx, filter: &StreamFilter) -> Result<Self> {
        let types = parse_types(filter.types.as_deref())?;
        Ok(Self { ctx, types, agent_id: filter.agent_id, definition_id: filter.definition_id })
    }

    /// The event, if the reader sees its run and asked for it.
    fn view(&self, scanned: Scanned) -> Option<StreamEventView> {
        let Scanned { place: _, event, run } = scanned;
        let run = run?;
        let is_seen = self.ctx.view.sees(run.workspace_id) && self.ctx.rights.reach.holds_agent(run.agent_id);
        let is_wanted = self.types.as_ref().is_none_or(|types| types.contains(&event.kind))
            && (self.agent_id.is_none() || self.agent_id == run.agent_id)
            && (self.definition_id.is_none() || self.definition_id == run.definition_id);
        (is_seen && is_wanted).then(|| StreamEventView {
            run_id: event.run_id,
            seq: event.seq,
            status: status(&event.kind),
            kind: event.kind,
            data: event.data,
            created_at: event.created_at,
            workspace_id: run.workspace_id,
            definition_id: run.definition_id,
            agent_id: run.agent_id,
        })
    }
}

/// Where a reader begins who was at `after`, and what they missed.
async fn begin(scan: &Scan, after: Option<&str>) -> Result<(Place, Option<StreamGap>)> {
    let wrong = || Error::invalid("after", "range", "must be the id of an event of this stream");
    let after = after.map(|text| Place::parse(text).ok_or_else(wrong)).transpose()?;
    let edge = scan.edge().await?;
    let Some(place) = after else { return Ok((edge.now, None)) };
    match gap::between(place, &edge) {
        None => Ok((place, None)),
        Some(gap) => Ok((edge.now, Some(gap))),
    }
}

/// One page: what comes behind `after`, or without it the newest.
pub async fn list(ctx: &Ctx, filter: &StreamFilter) -> Result<StreamPage> {
    let scan = Scan::new(ctx.clone());
    let wanted = Wanted::new(ctx.clone(), filter)?;
    let limit = usize::try_from(filter.limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX);
    if filter.after.is_none() {
        return newest(&scan, &wanted, limit).await;
    }
    let (mut place, gap) = begin(&scan, filter.after.as_deref()).await?;
    let mut data = Vec::new();
    let mut has_more = true;
    for _ in 0..MOST_SCANS {
        let page = scan.behind(place).await?;
        for scanned in page.rows {
            if data.len() == limit {
                return Ok(StreamPage { data, next: place.text(), has_more, gap });
            }
            place = scanned.place;
            data.extend(wanted.view(scanned));
        }
        if let Some(end) = page.end {
            (place, has_more) = (end, false);
            break;
        }
    }
    Ok(StreamPage { data, next: place.text(), has_more, gap })
}

async fn newest(scan: &Scan, wanted: &Wanted, limit: usize) -> Result<StreamPage> {
    let edge = scan.edge().await?;
    let mut data = Vec::new();
    for page in 0..MOST_SCANS {
        let rows = scan.before(&edge, page).await?;
        let is_last = (rows.len() as u64) < scan::PAGE;
        let views = rows.into_iter().filter_map(|scanned| wanted.view(scanned));
        data.extend(views.take(limit - data.len()));
        if is_last || data.len() == limit {
            break;
        }
    }
    data.reverse();
    Ok(StreamPage { data, next: edge.now.text(), has_more: false, gap: None })
}

/// What happens from now on, or behind the filter's `after`.
pub async fn follow(ctx: Ctx, filter: StreamFilter) -> Result<impl Stream<Item = Result<Told>> + Send> {
    let wanted = Wanted::new(ctx.clone(), &filter)?;
    let scan = Scan::new(ctx);
    let (mut place, gap) = begin(&scan, filter.after.as_deref()).await?;
    Ok(try_stream! {
        match gap {
            Some(gap) => yield Told::Gap(place.text(), gap),
            // Who is cut off before the first event goes on from here, too.
            None => yield Told::Place(place.text()),
        }
        let mut quiet = 0;
        loop {
            let page = scan.behind(place).await?;
            for scanned in page.rows {
                place = scanned.place;
                if let Some(view) = wanted.view(scanned) {
                    quiet = 0;
                    yield Told::Event(place.text(), view);
                }
            }
            if let Some(end) = page.end {
                place = end;
                quiet += 1;
                if quiet >= QUIET_LOOKS {
                    quiet = 0;
                    yield Told::Place(place.text());
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    })
}
