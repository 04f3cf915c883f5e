//! Evenly spaced turns, and several at once after a rest (GCRA, ITU-T I.371). Times are microseconds since 1970.
//!
//! What is kept is how far a rate is used up. That is never later than now, so a raised rate acts at once.

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    step: i64,
    /// The longest rest that counts.
    rest: i64,
}

impl Spacing {
    /// `burst` turns may come at once after a rest; by default as many as a second has, at least one.
    pub fn new(per_minute: u32, burst: Option<u32>) -> Self {
        // Rounded up: never more than the rate says.
        let step = MINUTE.div_ceil(u64::from(per_minute.max(1)));
        let rest = burst.map_or(SECOND.max(step), |burst| step.saturating_mul(burst.max(1).into()));
        let micros = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        Self { step: micros(step), rest: micros(rest) }
    }

    /// From one turn to the next.
    pub fn step(self) -> i64 {
        self.step
    }

    /// The time after which a rest counts: how far the rate is used up at least.
    pub fn rested(self, now: i64) -> i64 {
        now.saturating_sub(self.rest)
    }

    /// How many turns there are now.
    pub fn turns(self, used_until: i64, now: i64) -> u64 {
        u64::try_from((now - used_until.max(self.rested(now))) / self.step).unwrap_or(0)
    }

    /// How far the rate is used up after `count` turns more.
    pub fn used(self, used_until: i64, now: i64, count: u64) -> i64 {
        let taken = self.step.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        used_until.max(self.rested(now)).saturating_add(taken)
    }

    /// When there is a turn again.
    pub fn next(self, used_until: i64) -> i64 {
        used_until.saturating_add(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_than_the_rate_and_a_burst() {
        for (per_minute, burst) in [
            (1, None),
            (7, None),
            (7, Some(3)),
            (60, None),
            (90, None),
            (600, Some(1)),
            (6_000, None),
            (60_000, None),
        ] {
            let spacing = Spacing::new(per_minute, burst);
            let (mut used, mut made) = (0_i64, Vec::new());
            let start = 1_900_000_000_000_000_i64;
            for tick in 0..1_800 {
                let now = start + tick * 100_000;
                let count = spacing.turns(used, now);
                used = spacing.used(used, now, count);
                assert!(used <= now, "{per_minute}: used up beyond now");
                made.extend(std::iter::repeat_n(now, usize::try_from(count).unwrap()));
            }
            let rate = usize::try_from(per_minute).unwrap();
            let at_once = usize::try_from(burst.unwrap_or(per_minute / 60).max(1)).unwrap();
            for (index, first) in made.iter().enumerate().step_by(97) {
                let minute = made[index..].partition_point(|at| *at - *first < 60_000_000);
                assert!(minute <= rate + at_once, "{per_minute}: {minute}");
            }
            assert!(made.len() + at_once + 3 >= rate * 3, "{per_minute}: {} of {}", made.len(), rate * 3);
        }
    }

    #[test]
    fn a_rest_gives_a_burst_and_no_more() {
        let spacing = Spacing::new(60, Some(5));
        let now = 1_900_000_000_000_000;
        assert_eq!(spacing.turns(0, now), 5);
        let used = spacing.used(0, now, 5);
        assert_eq!((spacing.turns(used, now), spacing.turns(used, now + 999_999)), (0, 0));
        assert_eq!(spacing.turns(used, now + 1_000_000), 1);
        assert_eq!(spacing.next(used), now + 1_000_000);
    }

    #[test]
    fn a_raised_rate_acts_at_once() {
        let now = 1_900_000_000_000_000;
        let used = Spacing::new(1, None).used(0, now, 1);
        assert_eq!(Spacing::new(60, None).turns(used, now + 1_000_000), 1);
    }
}
