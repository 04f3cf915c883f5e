//! Which times have come, and what is to be done about each: decided from the row and the clock alone.
//!
//! Invariant: every time between the one that is due and the next one is in exactly one entry of the plan.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::schedule_fire::{FireKind, FireReason};
use entity::tasks::scheduled_task::{Catchup, Model};

use super::settings::{ScheduleSettings, jitter};
use crate::error::Result;

/// Later than this is missed.
const LATE: TimeDelta = TimeDelta::seconds(60);
/// Times looked at together. Where there are more, those that run nothing share a record.
pub(super) const MOST: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Run,
    Skip(FireReason),
    Coalesce,
}

/// A time, or several in a row with the same verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub due_at: DateTime<Utc>,
    pub last_due_at: DateTime<Utc>,
    pub instants: i32,
    pub kind: FireKind,
    pub verdict: Verdict,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub dues: Vec<Due>,
    /// The next time to come; it may have come as well where there were many.
    pub next: Option<DateTime<Utc>>,
}

/// What has come of the schedule at `now`.
pub fn plan(row: &Model, settings: &ScheduleSettings, now: DateTime<Utc>) -> Result<Plan> {
    let lateness = jitter(row.id, settings.jitter_seconds);
    let rhythm = settings.rhythm(row.created_at)?;
    let after = |time: DateTime<Utc>| {
        let next = rhythm.as_ref().and_then(|rhythm| rhythm.next_after(time));
        next.filter(|next| settings.ends_at.is_none_or(|end| *next <= end))
    };
    let mut times = Vec::new();
    let mut next = row.next_due_at;
    while let Some(time) = next.filter(|time| *time + lateness <= now && times.len() < MOST) {
        times.push(time);
        next = after(time);
    }
    let is_more = next.is_some_and(|time| time + lateness <= now);
    let on_time = times.iter().position(|time| now - (*time + lateness) <= LATE).unwrap_or(times.len());
    let window = TimeDelta::seconds(i64::from(settings.catchup_window_seconds));
    let outside = times.iter().position(|time| now - (*time + lateness) <= window).unwrap_or(times.len());
    let of = |(index, time): (usize, &DateTime<Utc>)| {
        let is_last = index + 1 == on_time && on_time == times.len() && !is_more;
        let (kind, verdict) = match settings.catchup {
            _ if index >= on_time => (FireKind::Due, Verdict::Run),
            Catchup::None => (FireKind::Catchup, Verdict::Skip(FireReason::Missed)),
            _ if index < outside => (FireKind::Catchup, Verdict::Skip(FireReason::OutsideWindow)),
            Catchup::All => (FireKind::Catchup, Verdict::Run),
            Catchup::Last if is_last => (FireKind::Catchup, Verdict::Run),
            Catchup::Last => (FireKind::Catchup, Verdict::Coalesce),
        };
        Due { due_at: *time, last_due_at: *time, instants: 1, kind, verdict }
    };
    let mut dues: Vec<Due> = Vec::with_capacity(times.len());
    for due in times.iter().enumerate().map(of) {
        match dues.last_mut() {
            Some(last) if is_more && last.verdict == due.verdict && due.verdict != Verdict::Run => {
                last.last_due_at = due.due_at;
                last.instants += 1;
            }
            _ => dues.push(due),
        }
    }
    Ok(Plan { dues, next })
}
