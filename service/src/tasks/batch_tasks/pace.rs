//! How many runs a batch's rate allows now: evenly spaced, with at most a second's worth at once after a rest.

use chrono::{DateTime, Utc};

use crate::engine::spacing::Spacing;

fn spacing(rate: i32) -> Spacing {
    Spacing::new(u32::try_from(rate).unwrap_or(1), None)
}

fn micros(used_until: Option<DateTime<Utc>>) -> i64 {
    used_until.map_or(0, |used| used.timestamp_micros())
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// How many may be created now, at most `most`.
pub fn allowed(
    rate: Option<i32>,
    used_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    most: usize,
) -> usize {
    let Some(rate) = rate else { return most };
    let turns = spacing(rate).turns(micros(used_until), now.timestamp_micros());
    usize::try_from(turns).unwrap_or(most).min(most)
}

/// Up to when the rate is used up after `count` more.
pub fn used(
    rate: Option<i32>,
    used_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    count: usize,
) -> DateTime<Utc> {
    let Some(rate) = rate else { return now };
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    time(spacing(rate).used(micros(used_until), now.timestamp_micros(), count))
}

/// When the next one may be created.
pub fn next(rate: Option<i32>, used_until: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    rate.map_or(now, |rate| now.max(time(spacing(rate).next(used_until.timestamp_micros()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_rate_all_may() {
        assert_eq!(allowed(None, None, DateTime::UNIX_EPOCH, 7), 7);
    }

    #[test]
    fn the_next_is_allowed_when_it_is_said_to_be() {
        let now = DateTime::from_timestamp(1_900_000_000, 123_456_789).unwrap();
        for rate in [1, 7, 61, 6_000] {
            let count = allowed(Some(rate), None, now, 1_000);
            let paced = used(Some(rate), None, now, count);
            let at = next(Some(rate), paced, now);
            assert!(at > now, "{rate}");
            assert_eq!(allowed(Some(rate), Some(paced), at, 1_000), 1, "{rate}");
        }
    }
}
