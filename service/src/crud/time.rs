//! Times in bodies and queries: RFC 3339, in the years that both databases can store.

use chrono::{DateTime, Datelike as _, Utc};
use serde::de::{Deserialize, Deserializer, Error};

/// For a field that may be absent, with `#[serde(default, deserialize_with = "…")]`.
///
/// # Errors
/// What is no time, or is outside the years 0001 to 9999 (UTC).
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Option::deserialize(deserializer)?.map(storable).transpose()
}

/// As [`optional`], refusing `null`.
///
/// # Errors
/// As [`optional`].
pub fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    DateTime::deserialize(deserializer).and_then(storable).map(Some)
}

fn storable<E: Error>(time: DateTime<Utc>) -> Result<DateTime<Utc>, E> {
    if (1..=9999).contains(&time.year()) {
        Ok(time)
    } else {
        Err(E::custom("the year must be from 0001 to 9999"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<DateTime<Utc>>, serde_json::Error> {
        optional(serde_json::Value::from(text))
    }

    #[test]
    fn years_are_bounded_in_utc() {
        for good in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00+14:00"] {
            assert!(read(good).unwrap().is_some(), "{good}");
        }
        for bad in [
            "0000-06-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "+10000-01-01T00:00:00Z",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(optional(serde_json::Value::Null).unwrap(), None);
        assert!(required(serde_json::Value::Null).is_err());
    }
}
