//! When a mail goes out, in the zone of its reader.

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use entity::notifications::notification_preference::Digest;

use super::{Mailing, QuietHours, Wishes};

/// Of the daily digest.
const MORNING: u32 = 8;

pub(super) fn mail_at(wishes: &Wishes, now: DateTime<Utc>) -> Mailing {
    let due = match wishes.digest {
        Digest::Off => now,
        Digest::Hourly => next_hour(now),
        Digest::Daily => next_morning(wishes.zone, now),
    };
    let quiet = wishes.quiet_hours.as_ref().and_then(|quiet| quiet_until(quiet, wishes.zone, due));
    match quiet.unwrap_or(due) {
        due if due <= now => Mailing::AtOnce,
        due => Mailing::At(due),
    }
}

/// `22:00`, two digits each.
pub(super) fn hour_and_minute(text: &str) -> Option<NaiveTime> {
    let is_plain = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    is_plain.then(|| NaiveTime::parse_from_str(text, "%H:%M").ok()).flatten()
}

fn next_hour(now: DateTime<Utc>) -> DateTime<Utc> {
    let into = TimeDelta::minutes(now.minute().into()) + TimeDelta::seconds(now.second().into());
    now - into - TimeDelta::nanoseconds(now.nanosecond().into()) + TimeDelta::hours(1)
}

fn next_morning(zone: Tz, now: DateTime<Utc>) -> DateTime<Utc> {
    let local = now.with_timezone(&zone).naive_local();
    let morning = local.date().and_time(NaiveTime::from_hms_opt(MORNING, 0, 0).unwrap_or_default());
    let next = if morning > local { Some(morning) } else { morning.checked_add_days(Days::new(1)) };
    next.map_or(now, |next| in_utc(zone, next))
}

/// The end of the quiet hours that `time` lies in.
fn quiet_until(quiet: &QuietHours, zone: Tz, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (from, until) = (hour_and_minute(&quiet.from)?, hour_and_minute(&quiet.until)?);
    let local = time.with_timezone(&zone).naive_local();
    let is_over_night = from > until;
    let is_evening = is_over_night && local.time() >= from;
    let is_quiet = is_evening || (local.time() < until && (is_over_night || local.time() >= from));
    let day = if is_evening { local.date().checked_add_days(Days::new(1))? } else { local.date() };
    is_quiet.then(|| in_utc(zone, day.and_time(until)))
}

/// The first such moment; one that a change of clocks skips is an hour later.
fn in_utc(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    let found = zone.from_local_datetime(&local).earliest();
    let found = found.or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest());
    found.map_or_else(|| local.and_utc(), |time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn mailed(digest: Digest, quiet: Option<(&str, &str)>, zone: &str, now: &str) -> String {
        let quiet_hours = quiet.map(|(from, until)| QuietHours { from: from.into(), until: until.into() });
        let wishes = Wishes { digest, quiet_hours, zone: zone.parse().unwrap(), ..Wishes::default() };
        match mail_at(&wishes, time(now)) {
            Mailing::AtOnce => "at once".to_owned(),
            Mailing::At(due) => due.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            Mailing::Never => panic!("never"),
        }
    }

    #[test]
    fn quiet_hours_are_of_the_persons_zone() {
        let night = Some(("22:00", "07:00"));
        let day = Some(("09:00", "17:30"));
        for (quiet, zone, now, due) in [
            (night, "Europe/Berlin", "2026-01-10T21:30:00Z", "2026-01-11T06:00:00Z"),
            (night, "Europe/Berlin", "2026-01-11T05:59:59Z", "2026-01-11T06:00:00Z"),
            (night, "Europe/Berlin", "2026-01-11T06:00:00Z", "at once"),
            (night, "Europe/Berlin", "2026-01-10T20:59:59Z", "at once"),
            (night, "America/New_York", "2026-01-10T21:30:00Z", "at once"),
            (day, "Asia/Kolkata", "2026-01-10T05:00:00Z", "2026-01-10T12:00:00Z"),
            (day, "Asia/Kolkata", "2026-01-10T12:00:00Z", "at once"),
            // The clocks go from two to three: half past two does not exist.
            (Some(("01:00", "02:30")), "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
            // They go back from three to two: the first half past two counts.
            (Some(("01:00", "02:30")), "Europe/Berlin", "2026-10-25T00:10:00Z", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(mailed(Digest::Off, quiet, zone, now), due, "{zone} {now}");
        }
    }

    #[test]
    fn digests_go_out_together_and_not_in_quiet_hours() {
        for (digest, quiet, now, due) in [
            (Digest::Hourly, None, "2026-01-10T10:20:30.5Z", "2026-01-10T11:00:00Z"),
            (Digest::Hourly, None, "2026-01-10T10:00:00Z", "2026-01-10T11:00:00Z"),
            (Digest::Daily, None, "2026-01-10T06:59:00Z", "2026-01-10T07:00:00Z"),
            (Digest::Daily, None, "2026-01-10T07:00:00Z", "2026-01-11T07:00:00Z"),
            (Digest::Daily, Some(("06:00", "09:00")), "2026-01-10T06:59:00Z", "2026-01-10T08:00:00Z"),
            (Digest::Hourly, Some(("22:00", "06:00")), "2026-01-10T20:30:00Z", "2026-01-11T05:00:00Z"),
        ] {
            assert_eq!(mailed(digest, quiet, "Europe/Berlin", now), due, "{now}");
        }
    }

    #[test]
    fn times_of_day_have_two_digits_each() {
        assert!(hour_and_minute("00:00").is_some() && hour_and_minute("23:59").is_some());
        for wrong in ["24:00", "7:00", "07:60", "0700", "07:0a", "+7:00", " 7:00", "07:00:00", ""] {
            assert_eq!(hour_and_minute(wrong), None, "{wrong}");
        }
    }
}
