//! When something recurs: a cron expression in the local time of a zone, or an interval.
//!
//! Invariants: times are strictly increasing and depend on nothing but the expression, so that every node
//! computes the same ones. A local time that does not exist stands for the next instant that does; one that
//! comes twice counts once, the first time. An interval counts seconds from its anchor, whatever clocks do.

#[cfg(test)]
mod tests;

use std::str::FromStr as _;

use chrono::{DateTime, Datelike as _, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::crud::time;
use crate::ctx::Ctx;
use crate::error::{Error, FieldError, Result, pointer_to};

/// The longest cron expression, and name of a zone.
const LONGEST_CRON: u64 = 200;
const LONGEST_ZONE: u64 = 64;
pub const LONGEST_INTERVAL: u32 = 31_622_400;
/// A rare one (the 29th of February on a Sunday) comes within 40 years.
const HORIZON_YEARS: i32 = 41;
/// Local times asked for in the search of one instant: a repeated hour has 3,600 that came before.
const MOST_TRIES: usize = 100_000;
/// Offsets from UTC are shorter, and so is what a clock was ever moved by, with them.
const SPAN: TimeDelta = TimeDelta::hours(40);
const MOST_PREVIEWED: u32 = 100;

/// Exactly one of `cron` and `intervalSeconds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin" }))]
pub struct Recurrence {
    /// Minute, hour, day of the month, month, day of the week, with seconds before them if there are six
    /// fields. Lists, ranges, steps, names, `L`, `W` and `#` are known; a day matches if either of two
    /// restricted day fields does (anything but `*` restricts, `*/2` too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(min = 9, max = "LONGEST_CRON"))]
    #[schema(min_length = 9, max_length = 200)]
    pub cron: Option<String>,
    /// Seconds from one time to the next, counted from `startsAt`, or from the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(range(min = 1, max = "LONGEST_INTERVAL"))]
    #[schema(minimum = 1, maximum = 31_622_400)]
    pub interval_seconds: Option<u32>,
    /// The IANA zone in whose local time the expression is read.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    #[validate(length(min = 1, max = "LONGEST_ZONE"))]
    #[schema(min_length = 1, max_length = 64, default = "UTC")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_utc(zone: &str) -> bool {
    zone == "UTC"
}

/// A recurrence that was read.
pub struct Rhythm {
    kind: Kind,
}

enum Kind {
    Cron { cron: Box<Cron>, zone: Tz },
    Interval { period: TimeDelta, anchor: DateTime<Utc> },
}

impl Recurrence {
    /// `anchor` is where an interval counts from.
    ///
    /// # Errors
    /// [`Error::Invalid`] under `pointer`; for a cron expression that has no time within four decades too.
    pub fn rhythm(&self, anchor: DateTime<Utc>, pointer: &str) -> Result<Rhythm> {
        let wrong = |field: &str, code, message: String| {
            let pointer = if pointer.is_empty() { field.to_owned() } else { pointer_to(pointer, field) };
            Error::Invalid { errors: vec![FieldError::new(pointer, code, message)] }
        };
        let zone = Tz::from_str(&self.time_zone)
            .map_err(|_| wrong("timeZone", "time_zone", "There is no such IANA time zone.".to_owned()))?;
        let kind = match (&self.cron, self.interval_seconds) {
            (Some(text), None) => {
                let fields = text.split_ascii_whitespace().count();
                if !(5..=6).contains(&fields) || text.contains('@') {
                    return Err(wrong("cron", "cron", "A cron expression has 5 or 6 fields.".to_owned()));
                }
                let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
                let cron = parser.parse(text).map_err(|error| wrong("cron", "cron", sentence(&error)))?;
                Kind::Cron { cron: Box::new(cron), zone }
            }
            (None, Some(seconds)) => {
                Kind::Interval { period: TimeDelta::seconds(i64::from(seconds)), anchor }
            }
            _ => {
                let message = "Give exactly one of cron and intervalSeconds.".to_owned();
                return Err(wrong("cron", "one_of", message));
            }
        };
        let rhythm = Rhythm { kind };
        if rhythm.next_after(anchor).is_none() {
            return Err(wrong("cron", "never", "No such time comes within 40 years.".to_owned()));
        }
        Ok(rhythm)
    }
}

fn sentence(error: &impl std::fmt::Display) -> String {
    let text: String = error.to_string().chars().take(200).collect();
    if text.ends_with('.') { text } else { format!("{text}.") }
}

impl Rhythm {
    /// The first time after `after`; none within four decades is none.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.kind {
            Kind::Interval { period, anchor } => {
                if after < *anchor {
                    return Some(*anchor);
                }
                let period = period.num_microseconds()?;
                let passed = (after - *anchor).num_microseconds()?.div_euclid(period);
                anchor
                    .checked_add_signed(TimeDelta::microseconds(passed.checked_add(1)?.checked_mul(period)?))
            }
            Kind::Cron { cron, zone } => next_cron(cron, *zone, after),
        }
    }
}

/// The expression is asked for local times, as if they were those of UTC, where every one exists once; the
/// zone's rules are applied to what it answers. Local times in their order give instants in their order.
fn next_cron(cron: &Cron, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut local = after.with_timezone(&zone).naive_local();
    let last_year = local.year() + HORIZON_YEARS;
    for _ in 0..MOST_TRIES {
        local = cron.find_next_occurrence(&local.and_utc(), false).ok()?.naive_utc();
        if local.year() > last_year {
            return None;
        }
        // In the second pass of a repeated hour the times of the first one are over.
        let instant = instant_of(zone, local)?;
        if instant > after {
            return Some(instant);
        }
    }
    None
}

fn instant_of(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => {
            Some(instant.with_timezone(&Utc))
        }
        MappedLocalTime::None => end_of_gap(zone, local),
    }
}

/// The first instant whose local time is later than one that was left out. Clocks change at whole seconds.
fn end_of_gap(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let is_over = |seconds: i64| {
        let instant = DateTime::from_timestamp(seconds, 0)?;
        Some(instant.with_timezone(&zone).naive_local() > local)
    };
    let around = local.and_utc().timestamp();
    let (mut before, mut over) = (around - SPAN.num_seconds(), around + SPAN.num_seconds());
    while over - before > 1 {
        let middle = before + (over - before) / 2;
        if is_over(middle)? { over = middle } else { before = middle }
    }
    DateTime::from_timestamp(over, 0)
}

/// A recurrence as parameters, to see what it means before a schedule has it.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct PreviewFilter {
    /// A cron expression of 5 or 6 fields; either this or `intervalSeconds`.
    #[param(min_length = 9, max_length = 200, example = "0 9 * * MON-FRI")]
    pub cron: Option<String>,
    /// Seconds from one time to the next, counted from `after`.
    #[param(minimum = 1, maximum = 31_622_400)]
    pub interval_seconds: Option<u32>,
    /// The IANA zone in whose local time the expression is read.
    #[param(min_length = 1, max_length = 64, default = "UTC")]
    pub time_zone: Option<String>,
    /// The times after this one; now, if absent.
    #[serde(default, deserialize_with = "time::optional")]
    pub after: Option<DateTime<Utc>>,
    /// How many times are shown.
    #[param(minimum = 1, maximum = 100, default = 10)]
    pub count: Option<u32>,
}

/// The next times of a recurrence.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OccurrencesView {
    /// In their order; fewer than asked for where no more come.
    pub occurrences: Vec<OccurrenceView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OccurrenceView {
    pub due_at: DateTime<Utc>,
    /// The same instant by the clocks of the zone.
    #[schema(example = "2026-11-30T09:00:00+01:00")]
    pub local_time: String,
}

impl OccurrencesView {
    /// At most `count` times of `rhythm` after `after`, until `end`.
    pub(crate) fn of(
        rhythm: &Rhythm,
        zone: &str,
        after: DateTime<Utc>,
        end: Option<DateTime<Utc>>,
        count: Option<u32>,
    ) -> Self {
        let zone = Tz::from_str(zone).unwrap_or(Tz::UTC);
        let times = std::iter::successors(rhythm.next_after(after), |time| rhythm.next_after(*time));
        let times = times.take_while(|time| end.is_none_or(|end| *time <= end));
        let most = usize::try_from(count.unwrap_or(10).min(MOST_PREVIEWED)).unwrap_or(10);
        let occurrences = times.take(most).map(|due_at| OccurrenceView {
            due_at,
            local_time: due_at.with_timezone(&zone).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false),
        });
        Self { occurrences: occurrences.collect() }
    }
}

impl OccurrencesView {
    /// One time, or none.
    pub(crate) fn once(due_at: Option<DateTime<Utc>>) -> Self {
        let shown = |due_at: DateTime<Utc>| OccurrenceView {
            due_at,
            local_time: due_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false),
        };
        Self { occurrences: due_at.map(shown).into_iter().collect() }
    }
}

/// # Errors
/// 422 at the parameter that is wrong.
pub async fn preview(ctx: &Ctx, filter: PreviewFilter) -> Result<OccurrencesView> {
    let PreviewFilter { cron, interval_seconds, time_zone, after, count } = filter;
    let after = after.unwrap_or_else(|| ctx.core.clock.now());
    let recurrence = Recurrence { cron, interval_seconds, time_zone: time_zone.unwrap_or_else(utc) };
    let rhythm = recurrence.rhythm(after, "")?;
    Ok(OccurrencesView::of(&rhythm, &recurrence.time_zone, after, None, count))
}
