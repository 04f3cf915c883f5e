//! Whether a reader can go on where they were. How far back one may is bounded: a day's events are read as lists.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::place::Place;
use super::scan::Edge;

const LOOK_BACK: TimeDelta = TimeDelta::hours(1);

/// That events may be missing: read what is of interest anew.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamGap {
    pub reason: StreamGapReason,
    /// What happened from then on may be missing.
    #[schema(required)]
    pub since: Option<DateTime<Utc>>,
    /// How far back a reader may go on, in seconds.
    pub look_back_seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamGapReason {
    /// It is longer ago than the look-back.
    TooOld,
    /// This database never was there: it is an older copy, or another one.
    Unknown,
}

pub(super) fn between(place: Place, edge: &Edge) -> Option<StreamGap> {
    let since = DateTime::from_timestamp_millis(place.at);
    let reason = match since {
        _ if place.position > edge.settled => StreamGapReason::Unknown,
        Some(since) if since >= edge.seen_at - LOOK_BACK => return None,
        _ => StreamGapReason::TooOld,
    };
    Some(StreamGap { reason, since, look_back_seconds: LOOK_BACK.num_seconds() })
}
