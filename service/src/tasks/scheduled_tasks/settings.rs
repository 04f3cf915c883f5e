//! When a schedule is due, and what is done about it: what people set, checked as a whole.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::scheduled_task::{Catchup, Model, Overlap, ScheduleType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::crud::time;
use crate::error::{Error, Result};
use crate::tasks::recurrences::{Recurrence, Rhythm};
use crate::templates::Template;

/// Missed times that are older are not made up for.
pub const WINDOW_SECONDS: u32 = 86_400;
pub const LONGEST_WINDOW: u32 = 31_622_400;
pub const LONGEST_JITTER: u32 = 86_400;
pub const LONGEST_DELAY: u32 = 31_622_400;
pub const MAX_RETRIES: u32 = 3;
pub const MOST_RETRIES: u32 = 1_000;
const FARTHEST: TimeDelta = TimeDelta::days(3_660);

/// The schedule of a definition of type SCHEDULED.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "recurrence": { "cron": "0 9 * * MON-FRI", "timeZone": "Europe/Berlin" } }))]
pub struct ScheduleSettings {
    #[serde(default = "recurring")]
    #[schema(default = "RECURRING")]
    pub schedule_type: ScheduleType,
    /// Of RECURRING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(nested)]
    pub recurrence: Option<Recurrence>,
    /// Of ONE_TIME.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// Of TRIGGER_BASED: seconds from the trigger to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(range(min = 0, max = "LONGEST_DELAY"))]
    #[schema(minimum = 0, maximum = 31_622_400)]
    pub delay_seconds: Option<u32>,
    /// The input of its runs: a template over `schedule` (`id`, `name`, `dueAt`, `kind`).
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub catchup: Catchup,
    /// Times that were missed for longer are skipped.
    #[serde(default = "window")]
    #[validate(range(min = 60, max = "LONGEST_WINDOW"))]
    #[schema(minimum = 60, maximum = 31_622_400, default = 86_400)]
    pub catchup_window_seconds: u32,
    /// It fires up to so many seconds after its time, always equally late.
    #[serde(default)]
    #[validate(range(min = 0, max = "LONGEST_JITTER"))]
    #[schema(maximum = 86_400, default = 0)]
    pub jitter_seconds: u32,
    /// No time before this; an interval counts from here.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<DateTime<Utc>>,
    /// No time after this.
    #[serde(default, deserialize_with = "time::optional", skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<DateTime<Utc>>,
    /// It pauses itself when more runs than this fail in a row; null never does.
    #[serde(default = "retries")]
    #[validate(range(min = 0, max = "MOST_RETRIES"))]
    #[schema(minimum = 0, maximum = 1_000, default = 3)]
    pub max_retries: Option<u32>,
}

fn recurring() -> ScheduleType {
    ScheduleType::Recurring
}

fn window() -> u32 {
    WINDOW_SECONDS
}

fn retries() -> Option<u32> {
    Some(MAX_RETRIES)
}

fn seconds(stored: i32) -> u32 {
    u32::try_from(stored).unwrap_or(0)
}

impl ScheduleSettings {
    pub fn of(row: &Model) -> Result<Self> {
        let recurrence = row.recurrence.clone().map(serde_json::from_value).transpose();
        Ok(Self {
            schedule_type: row.schedule_type,
            recurrence: recurrence.map_err(Error::internal)?,
            run_at: row.run_at,
            delay_seconds: row.delay_seconds.map(seconds),
            input: row.input.clone(),
            overlap: row.overlap,
            catchup: row.catchup,
            catchup_window_seconds: seconds(row.catchup_window_seconds),
            jitter_seconds: seconds(row.jitter_seconds),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            max_retries: row.max_retries.map(seconds),
        })
    }

    /// Writes them over the row's.
    pub fn store(&self, row: &mut Model) -> Result<()> {
        let Self {
            schedule_type,
            recurrence,
            run_at,
            delay_seconds,
            input,
            overlap,
            catchup,
            catchup_window_seconds,
            jitter_seconds,
            starts_at,
            ends_at,
            max_retries,
        } = self.clone();
        let small = |number: u32| i32::try_from(number).map_err(Error::internal);
        row.schedule_type = schedule_type;
        row.recurrence = recurrence.map(serde_json::to_value).transpose().map_err(Error::internal)?;
        row.run_at = run_at;
        row.delay_seconds = delay_seconds.map(small).transpose()?;
        row.input = input;
        row.overlap = overlap;
        row.catchup = catchup;
        row.catchup_window_seconds = small(catchup_window_seconds)?;
        row.jitter_seconds = small(jitter_seconds)?;
        row.starts_at = starts_at;
        row.ends_at = ends_at;
        row.max_retries = max_retries.map(small).transpose()?;
        Ok(())
    }

    /// `anchor` is the time from which an interval counts if there is no `startsAt`.
    ///
    /// # Errors
    /// [`Error::Invalid`] at the field under `pointer`.
    pub fn check(&self, anchor: DateTime<Utc>, pointer: &str) -> Result<()> {
        let wrong = |field: &str, code, message: &str| {
            Err(Error::invalid(format!("{pointer}/{field}"), code, message.to_owned()))
        };
        let (recurring, once, triggered) = match self.schedule_type {
            ScheduleType::Recurring => (true, false, false),
            ScheduleType::OneTime => (false, true, false),
            ScheduleType::TriggerBased => (false, false, true),
        };
        match &self.recurrence {
            None if recurring => return wrong("recurrence", "required", "A RECURRING schedule has one."),
            Some(_) if !recurring => {
                return wrong("recurrence", "exclusive", "Only a RECURRING schedule has one.");
            }
            None => {}
            Some(recurrence) => {
                recurrence.rhythm(self.starts_at.unwrap_or(anchor), &format!("{pointer}/recurrence"))?;
            }
        }
        match self.run_at {
            None if once => return wrong("runAt", "required", "A ONE_TIME schedule has one."),
            Some(_) if !once => return wrong("runAt", "exclusive", "Only a ONE_TIME schedule has one."),
            _ => {}
        }
        if self.delay_seconds.is_some() && !triggered {
            return wrong("delaySeconds", "exclusive", "Only a TRIGGER_BASED schedule has one.");
        }
        if (self.starts_at.is_some() || self.ends_at.is_some()) && once {
            return wrong("startsAt", "exclusive", "A ONE_TIME schedule has no span.");
        }
        if let Some((starts_at, ends_at)) = self.starts_at.zip(self.ends_at)
            && ends_at <= starts_at
        {
            return wrong("endsAt", "range", "endsAt is after startsAt.");
        }
        for (field, time) in [("runAt", self.run_at), ("startsAt", self.starts_at)] {
            if time.is_some_and(|time| time > anchor + FARTHEST) {
                return wrong(field, "range", "It is at most ten years ahead.");
            }
        }
        Template::check(&self.input, &format!("{pointer}/input"))
    }

    /// The first time after `after`.
    pub fn next_after(&self, after: DateTime<Utc>, anchor: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        Ok(match self.schedule_type {
            ScheduleType::TriggerBased => None,
            ScheduleType::OneTime => self.run_at.filter(|at| *at > after),
            ScheduleType::Recurring => {
                let before_start = self.starts_at.map(|at| at - TimeDelta::microseconds(1));
                let after = before_start.map_or(after, |start| start.max(after));
                let next = self.rhythm(anchor)?.and_then(|rhythm| rhythm.next_after(after));
                next.filter(|at| self.ends_at.is_none_or(|end| *at <= end))
            }
        })
    }

    /// Whether its times differ from those of `other`.
    pub fn is_timed_otherwise(&self, other: &Self) -> bool {
        let times = |settings: &Self| {
            let Self { schedule_type, recurrence, run_at, jitter_seconds, starts_at, ends_at, .. } = settings;
            (*schedule_type, recurrence.clone(), *run_at, *jitter_seconds, *starts_at, *ends_at)
        };
        times(self) != times(other)
    }

    pub fn rhythm(&self, anchor: DateTime<Utc>) -> Result<Option<Rhythm>> {
        let anchor = self.starts_at.unwrap_or(anchor);
        self.recurrence.as_ref().map(|recurrence| recurrence.rhythm(anchor, "/recurrence")).transpose()
    }

    pub fn time_zone(&self) -> &str {
        self.recurrence.as_ref().map_or("UTC", |recurrence| &recurrence.time_zone)
    }
}

/// How late a schedule fires, of at most `seconds`: the same each time, so that those of one instant are
/// spread, and each keeps its period.
pub fn jitter(schedule: Uuid, seconds: u32) -> TimeDelta {
    let random = u64::from_be_bytes(schedule.as_bytes()[8..].try_into().unwrap_or_default());
    // The first bits of a UUID's second half are its variant.
    let millis = (random << 2 >> 2) % (u64::from(seconds) * 1_000 + 1);
    TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_stable_bounded_and_spread() {
        let ids: Vec<Uuid> =
            (0..1_000_u128).map(|n| Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        let late: Vec<_> = ids.iter().map(|id| jitter(*id, 60)).collect();
        assert_eq!(late, ids.iter().map(|id| jitter(*id, 60)).collect::<Vec<_>>());
        assert!(late.iter().all(|late| (TimeDelta::zero()..=TimeDelta::seconds(60)).contains(late)));
        assert!((0..6).all(|tenth| late.iter().any(|late| late.num_seconds() / 10 == tenth)));
        assert!(ids.iter().all(|id| jitter(*id, 0).is_zero()));
    }
}
