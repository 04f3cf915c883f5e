//! Compared with an oracle that knows cron and time zones in its own, slow way: it tries every local time of
//! a day against plain sets, and finds the instants of a local time among the offsets that the zone has
//! around it.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate, NaiveTime, Offset as _};
use chrono_tz::TZ_VARIANTS;

use super::*;

const FIRST_YEAR: i32 = 2026;
const YEARS: i32 = 20;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(text: &str, zone: &str) -> Rhythm {
    let recurrence =
        Recurrence { cron: Some(text.to_owned()), interval_seconds: None, time_zone: zone.to_owned() };
    recurrence.rhythm(at("2026-01-01T00:00:00Z"), "").unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn between(rhythm: &Rhythm, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let first = rhythm.next_after(from - TimeDelta::microseconds(1));
    let times = std::iter::successors(first, |time| rhythm.next_after(*time));
    times.take_while(|time| *time < to).collect()
}

/// A generated expression, as text and as plain sets.
#[derive(Debug)]
struct Plain {
    text: String,
    seconds: BTreeSet<u32>,
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    days: BTreeSet<u32>,
    months: BTreeSet<u32>,
    weekdays: BTreeSet<u32>,
    any_day: bool,
    any_weekday: bool,
}

/// Repeatable numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((z ^ (z >> 31)) % u64::from(bound)).unwrap()
    }

    /// One field of `low..=high`.
    fn field(&mut self, low: u32, high: u32, wild: u32) -> (String, BTreeSet<u32>) {
        let span = high - low + 1;
        if self.below(100) < wild {
            return ("*".to_owned(), (low..=high).collect());
        }
        match self.below(4) {
            0 => {
                let step = 2 + self.below(span.min(30) - 1);
                (format!("*/{step}"), (low..=high).step_by(step as usize).collect())
            }
            1 => {
                let from = low + self.below(span);
                let to = from + self.below(high - from + 1);
                (format!("{from}-{to}"), (from..=to).collect())
            }
            2 => {
                let set: BTreeSet<u32> = (0..3).map(|_| low + self.below(span)).collect();
                (set.iter().map(u32::to_string).collect::<Vec<_>>().join(","), set)
            }
            _ => {
                let one = low + self.below(span);
                (one.to_string(), BTreeSet::from([one]))
            }
        }
    }

    fn expression(&mut self) -> Plain {
        let (seconds_text, seconds) = match self.below(5) {
            0 => {
                let one = self.below(60);
                (Some(format!("{one}")), BTreeSet::from([one]))
            }
            1 => (Some("*/20".to_owned()), BTreeSet::from([0, 20, 40])),
            _ => (None, BTreeSet::from([0])),
        };
        let (minutes_text, minutes) = self.field(0, 59, 10);
        // Most of what is interesting happens at night.
        let (hours_text, hours) =
            if self.below(2) == 0 { self.field(0, 4, 10) } else { self.field(0, 23, 30) };
        let hours_text = if hours_text.starts_with('*') && hours.iter().max() < Some(&5) {
            hours.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        } else {
            hours_text
        };
        let (days_text, days) = self.field(1, 28, 60);
        let (months_text, months) = self.field(1, 12, 70);
        let (weekdays_text, weekdays) = self.field(0, 6, 60);
        let days = if days_text == "*" { (1..=31).collect() } else { days };
        let days = match days_text.strip_prefix("*/") {
            Some(step) => (1..=31).step_by(step.parse().unwrap()).collect(),
            None => days,
        };
        let mut text = format!("{minutes_text} {hours_text} {days_text} {months_text} {weekdays_text}");
        if let Some(seconds) = seconds_text {
            text = format!("{seconds} {text}");
        }
        let (any_day, any_weekday) = (days_text == "*", weekdays_text == "*");
        Plain { text, seconds, minutes, hours, days, months, weekdays, any_day, any_weekday }
    }
}

impl Plain {
    fn is_on(&self, date: NaiveDate) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self.weekdays.contains(&date.weekday().num_days_from_sunday());
        // POSIX: where both are restricted, one of them suffices.
        let fits = if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        fits && self.months.contains(&date.month())
    }

    fn local_times(&self, date: NaiveDate) -> Vec<NaiveDateTime> {
        let mut times = Vec::new();
        if self.is_on(date) {
            for hour in &self.hours {
                for minute in &self.minutes {
                    let second = |second: &u32| NaiveTime::from_hms_opt(*hour, *minute, *second).unwrap();
                    times.extend(self.seconds.iter().map(second).map(|time| date.and_time(time)));
                }
            }
        }
        times
    }

    fn times_a_day(&self) -> usize {
        self.hours.len() * self.minutes.len() * self.seconds.len()
    }
}

fn offset(zone: Tz, instant: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()))
}

/// The moments at which the zone's offset changes, found by looking at every hour and then at every second.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let start = NaiveDate::from_ymd_opt(FIRST_YEAR, 1, 1).unwrap().and_time(NaiveTime::MIN).and_utc();
    let mut found = Vec::new();
    for day in 0..YEARS * 366 {
        let from = start + TimeDelta::days(i64::from(day));
        let to = from + TimeDelta::days(1);
        if offset(zone, from) == offset(zone, to) {
            continue;
        }
        let (mut before, mut after) = (from, to);
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if offset(zone, middle) == offset(zone, from) { before = middle } else { after = middle }
        }
        found.push(after);
    }
    found
}

/// The instant for which a local time stands.
fn meant(zone: Tz, changes: &[DateTime<Utc>], local: NaiveDateTime) -> DateTime<Utc> {
    let naive = local.and_utc();
    let near = changes.iter().copied().filter(|change| (*change - naive).abs() < TimeDelta::days(3));
    let mut offsets = BTreeSet::from([offset(zone, naive - TimeDelta::days(3))]);
    offsets.extend(near.clone().map(|change| offset(zone, change)));
    let shows = |instant: &DateTime<Utc>| *instant + offset(zone, *instant) == naive;
    let instants = offsets.iter().map(|offset| naive - *offset).filter(shows);
    instants.min().unwrap_or_else(|| {
        // Left out: the change that skipped it.
        let before = |change: DateTime<Utc>| change + offset(zone, change - TimeDelta::seconds(1));
        let skips =
            |change: &DateTime<Utc>| before(*change) <= naive && naive < *change + offset(zone, *change);
        near.clone().find(skips).unwrap_or_else(|| panic!("{zone}: {local} is neither there nor left out"))
    })
}

fn expected(
    plain: &Plain,
    zone: Tz,
    changes: &[DateTime<Utc>],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let mut times = BTreeSet::new();
    let mut date = from.date_naive() - Days::new(2);
    while date <= to.date_naive() + Days::new(2) {
        times.extend(plain.local_times(date).into_iter().map(|local| meant(zone, changes, local)));
        date = date + Days::new(1);
    }
    times.into_iter().filter(|time| (from..to).contains(time)).collect()
}

/// Zones whose clocks change in these years, with when.
fn moving() -> Vec<(Tz, Vec<DateTime<Utc>>)> {
    let zones = TZ_VARIANTS.iter().map(|zone| (*zone, changes(*zone)));
    zones.filter(|(_, changes)| !changes.is_empty()).collect()
}

/// Compares around every change of the zone, and over all the years where that is little work.
fn compare(plain: &Plain, zone: Tz, changes: &[DateTime<Utc>], whole: bool) -> usize {
    let rhythm = cron(&plain.text, zone.name());
    let mut windows: Vec<_> =
        changes.iter().map(|at| (*at - TimeDelta::days(1), *at + TimeDelta::days(1))).collect();
    if whole {
        windows.push((changes[0], changes[0] + TimeDelta::days(365 * i64::from(YEARS - 1))));
    }
    let mut compared = 0;
    for (from, to) in windows {
        let (found, expected) = (between(&rhythm, from, to), expected(plain, zone, changes, from, to));
        assert!(found.is_sorted_by(|a, b| a < b), "{} in {zone}: {found:?}", plain.text);
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
            (found.into_iter().collect(), expected.into_iter().collect());
        let (more, less) = (found.difference(&expected).next(), expected.difference(&found).next());
        assert!(
            more.is_none() && less.is_none(),
            "{} in {zone}: unexpected {more:?}, missing {less:?}",
            plain.text
        );
        compared += expected.len();
    }
    compared
}

#[test]
fn two_hundred_expressions_in_moving_zones_agree_with_the_oracle() {
    let mut numbers = Numbers(7);
    // Looking at all zones takes long: those that are odd, and some.
    let odd = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Antarctica/Troll",
        "America/St_Johns",
        "Africa/Casablanca",
        "Pacific/Chatham",
        "America/Havana",
        "Asia/Beirut",
        "America/Nuuk",
    ];
    let zones: Vec<(Tz, Vec<DateTime<Utc>>)> =
        odd.iter().map(|name| name.parse().unwrap()).map(|zone: Tz| (zone, changes(zone))).collect();
    let (mut compared, mut whole) = (0, 0);
    for _ in 0..200 {
        let plain = numbers.expression();
        let (zone, changes) = &zones[numbers.below(u32::try_from(zones.len()).unwrap()) as usize];
        let sparse = plain.times_a_day() == 1 && numbers.below(4) == 0;
        whole += usize::from(sparse);
        compared += compare(&plain, *zone, changes, sparse);
    }
    assert!(compared > 50_000 && whole > 0, "{compared} {whole}");
}

#[test]
#[ignore = "every zone whose clocks change, over twenty years: minutes"]
fn every_moving_zone_agrees_with_the_oracle() {
    let zones = moving();
    assert!(zones.len() > 100, "{}", zones.len());
    let mut numbers = Numbers(11);
    let mut compared = 0;
    for _ in 0..200 {
        let plain = numbers.expression();
        for (zone, changes) in &zones {
            compared += compare(&plain, *zone, changes, plain.times_a_day() <= 4);
        }
    }
    assert!(compared > 1_000_000, "{compared}");
}

#[test]
fn the_hour_that_is_left_out_and_the_one_that_comes_twice() {
    let in_berlin = |text, from, to| between(&cron(text, "Europe/Berlin"), at(from), at(to));
    // 2026-03-29: 02:00 is followed by 03:00.
    let (from, to) = ("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(in_berlin("30 2 * * *", from, to), [at("2026-03-29T01:00:00Z")]);
    assert_eq!(in_berlin("15,30 2 * * *", from, to), [at("2026-03-29T01:00:00Z")]);
    assert_eq!(in_berlin("0 0 * * *", from, to), [at("2026-03-28T23:00:00Z")]);
    assert_eq!(in_berlin("0 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z").len(), 3);
    // 2026-10-25: 03:00 is followed by 02:00.
    let (from, to) = ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(in_berlin("30 2 * * *", from, to), [at("2026-10-25T00:30:00Z")]);
    assert_eq!(
        in_berlin("*/30 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T02:30:00Z"),
        [at("2026-10-25T00:00:00Z"), at("2026-10-25T00:30:00Z"), at("2026-10-25T02:00:00Z")],
    );
    // From within the second pass.
    let next = cron("*/30 * * * *", "Europe/Berlin").next_after(at("2026-10-25T01:10:00Z"));
    assert_eq!(next, Some(at("2026-10-25T02:00:00Z")));
}

/// A step restricts a field, as in Kubernetes; in Vixie's cron it does not.
#[test]
fn one_of_two_restricted_day_fields_suffices() {
    let days = |text| -> Vec<u32> {
        let times = between(&cron(text, "UTC"), at("2026-11-01T00:00:00Z"), at("2026-11-16T00:00:00Z"));
        times.iter().map(chrono::Datelike::day).collect()
    };
    // The 1st of November 2026 is a Sunday.
    assert_eq!(days("0 0 13 * 5"), [6, 13]);
    assert_eq!(days("0 0 */10 * 5"), [1, 6, 11, 13]);
    assert_eq!(days("0 0 */10 * *"), [1, 11]);
    assert_eq!(days("0 0 * * */3"), [1, 4, 7, 8, 11, 14, 15]);
}

/// Samoa had no 30th of December 2011.
#[test]
fn a_day_that_is_left_out() {
    let rhythm = cron("0 9 * * *", "Pacific/Apia");
    let times = between(&rhythm, at("2011-12-29T00:00:00Z"), at("2011-12-31T12:00:00Z"));
    assert_eq!(times, [at("2011-12-29T19:00:00Z"), at("2011-12-30T10:00:00Z"), at("2011-12-30T19:00:00Z")],);
}

#[test]
fn clocks_still_change_after_2037() {
    let berlin: Tz = "Europe/Berlin".parse().unwrap();
    assert!(changes(berlin).last().unwrap().year() >= 2044);
}

#[test]
fn intervals_count_from_their_anchor() {
    let anchor = at("2026-10-25T00:00:30Z");
    let recurrence =
        Recurrence { cron: None, interval_seconds: Some(90), time_zone: "Europe/Berlin".to_owned() };
    let rhythm = recurrence.rhythm(anchor, "").unwrap();
    assert_eq!(rhythm.next_after(anchor - TimeDelta::days(1)), Some(anchor));
    assert_eq!(rhythm.next_after(anchor), Some(at("2026-10-25T00:02:00Z")));
    assert_eq!(rhythm.next_after(at("2026-10-25T00:02:00.000001Z")), Some(at("2026-10-25T00:03:30Z")));
    let day = between(&rhythm, anchor, anchor + TimeDelta::days(1));
    assert_eq!(day.len(), 960);
}

#[test]
fn what_is_wrong_is_named() {
    let recurrence = |cron: Option<&str>, interval_seconds, zone: &str| Recurrence {
        cron: cron.map(str::to_owned),
        interval_seconds,
        time_zone: zone.to_owned(),
    };
    for (wrong, pointer, code) in [
        (recurrence(Some("* * * *"), None, "UTC"), "/r/cron", "cron"),
        (recurrence(Some("* * * * * * *"), None, "UTC"), "/r/cron", "cron"),
        (recurrence(Some("@daily"), None, "UTC"), "/r/cron", "cron"),
        (recurrence(Some("61 * * * *"), None, "UTC"), "/r/cron", "cron"),
        (recurrence(Some("* * 30 2 *"), None, "UTC"), "/r/cron", "never"),
        (recurrence(Some("0 0 31 4,6,9,11 *"), None, "UTC"), "/r/cron", "never"),
        (recurrence(Some("* * * * *"), Some(1), "UTC"), "/r/cron", "one_of"),
        (recurrence(None, None, "UTC"), "/r/cron", "one_of"),
        (recurrence(Some("* * * * *"), None, "Mars/Olympus"), "/r/timeZone", "time_zone"),
    ] {
        match wrong.rhythm(at("2026-01-01T00:00:00Z"), "/r") {
            Err(Error::Invalid { errors }) => {
                assert_eq!((errors[0].pointer.as_str(), &*errors[0].code), (pointer, code), "{wrong:?}");
            }
            Err(other) => panic!("{wrong:?}: {other}"),
            Ok(_) => panic!("{wrong:?} was taken"),
        }
    }
    // Rare is not never.
    for rare in ["0 0 29 2 *", "0 0 * 2 MON#5"] {
        assert!(cron(rare, "UTC").next_after(at("2096-03-01T00:00:00Z")).is_some(), "{rare}");
    }
}
