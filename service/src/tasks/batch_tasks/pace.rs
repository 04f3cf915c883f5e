//! How many runs the rate allows now: evenly spaced, with at most a second's worth at once after a rest
//! (GCRA, ITU-T I.371).

use chrono::{DateTime, TimeDelta, Utc};

const BURST: TimeDelta = TimeDelta::seconds(1);
const MINUTE: TimeDelta = TimeDelta::seconds(60);

/// The spacing of one run from the next.
fn spacing(rate: i32) -> TimeDelta {
    MINUTE / rate.max(1)
}

/// From when the rate is counted.
fn since(rate: i32, used_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let rested = now - BURST.max(spacing(rate));
    used_until.map_or(rested, |used| used.max(rested))
}

/// How many may be created now, at most `most`.
pub fn allowed(
    rate: Option<i32>,
    used_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    most: usize,
) -> usize {
    let Some(rate) = rate else { return most };
    let free = now - since(rate, used_until, now);
    let step = spacing(rate).num_microseconds().unwrap_or(1).max(1);
    let count = free.num_microseconds().unwrap_or(0).max(0) / step;
    usize::try_from(count).unwrap_or(0).min(most)
}

/// Up to when the rate is used up after `count` more.
pub fn used(
    rate: Option<i32>,
    used_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    count: usize,
) -> DateTime<Utc> {
    let Some(rate) = rate else { return now };
    since(rate, used_until, now) + spacing(rate) * i32::try_from(count).unwrap_or(i32::MAX)
}

/// When the next one may be created.
pub fn next(rate: Option<i32>, used_until: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    rate.map_or(now, |rate| now.max(used_until + spacing(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_than_the_rate_and_a_burst() {
        for rate in [1, 7, 60, 90, 6_000, 60_000] {
            let start = DateTime::UNIX_EPOCH;
            let (mut used_until, mut created) = (None, Vec::new());
            for tick in 0..1_800 {
                let now = start + TimeDelta::milliseconds(tick * 100);
                let count = allowed(Some(rate), used_until, now, 10_000);
                used_until = Some(used(Some(rate), used_until, now, count));
                created.extend(std::iter::repeat_n(now, count));
            }
            let burst = usize::try_from(rate / 60 + 1).unwrap();
            for (index, first) in created.iter().enumerate() {
                let minute = created[index..].partition_point(|at| *at - *first < MINUTE);
                assert!(minute <= usize::try_from(rate).unwrap() + burst, "{rate}: {minute}");
            }
            let whole = usize::try_from(rate).unwrap() * 3;
            assert!(created.len() + burst + 3 >= whole, "{rate}: {} of {whole}", created.len());
        }
    }

    #[test]
    fn without_a_rate_all_may() {
        assert_eq!(allowed(None, None, DateTime::UNIX_EPOCH, 7), 7);
    }
}
