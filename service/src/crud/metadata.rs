//! `metadata`: a user's own labels on a resource, text by name, filterable in lists.
//!
//! Invariant: at most [`MOST_ENTRIES`] entries of bounded length, also after a patch.

use std::collections::BTreeMap;

use serde_json::Value;
use validator::ValidationError;

use super::Patch;
use crate::error::{Error, Result};

pub const MOST_ENTRIES: usize = 50;
pub const LONGEST_NAME: usize = 64;
pub const LONGEST_VALUE: usize = 500;

pub type Metadata = BTreeMap<String, String>;
/// The merge patch of [`Metadata`]: `null` removes an entry.
pub type MetadataPatch = BTreeMap<String, Option<String>>;

/// For `#[validate(custom(function = "metadata::valid"))]`.
pub fn valid(metadata: &Metadata) -> Result<(), ValidationError> {
    let fits = metadata.len() <= MOST_ENTRIES
        && metadata.keys().all(|name| (1..=LONGEST_NAME).contains(&name.chars().count()))
        && metadata.values().all(|value| value.chars().count() <= LONGEST_VALUE);
    if fits { Ok(()) } else { Err(ValidationError::new("metadata").with_message(message().into())) }
}

fn message() -> String {
    format!(
        "must have at most {MOST_ENTRIES} entries, names of 1 to {LONGEST_NAME} and values of at most \
         {LONGEST_VALUE} characters"
    )
}

/// What is stored of it.
pub fn stored(metadata: Metadata) -> Value {
    Value::Object(metadata.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}

/// Reads what was stored.
pub fn shown(stored: Value) -> Metadata {
    serde_json::from_value(stored).unwrap_or_default()
}

/// The stored metadata with a patch applied.
///
/// # Errors
/// [`Error::Invalid`] at `/metadata` when the result breaks the limits.
pub fn merged(current: &Value, patch: MetadataPatch) -> Result<Value> {
    let mut metadata = shown(current.clone());
    for (name, value) in patch {
        match value {
            Some(value) => metadata.insert(name, value),
            None => metadata.remove(&name),
        };
    }
    valid(&metadata).map_err(|_| Error::invalid("/metadata", "metadata", message()))?;
    Ok(stored(metadata))
}

/// [`merged`], where `null` for all of it clears.
pub fn patched(current: &Value, patch: &Patch<MetadataPatch>) -> Result<Value> {
    match patch {
        Patch::Keep => Ok(current.clone()),
        Patch::Clear => Ok(stored(Metadata::new())),
        Patch::Set(patch) => merged(current, patch.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_sets_keeps_and_removes() {
        let patch = serde_json::from_value(json!({"a": null, "b": "2", "gone": null})).unwrap();
        assert_eq!(merged(&json!({"a": "1", "c": "3"}), patch).unwrap(), json!({"b": "2", "c": "3"}));
    }

    #[test]
    fn the_limits_hold_for_the_result() {
        let full: Metadata = (0..MOST_ENTRIES).map(|n| (n.to_string(), String::new())).collect();
        assert!(valid(&full).is_ok());
        let one_more = MetadataPatch::from([("more".to_owned(), Some(String::new()))]);
        assert!(merged(&stored(full), one_more).is_err());
        assert!(valid(&Metadata::from([(String::new(), String::new())])).is_err());
        assert!(valid(&Metadata::from([("a".to_owned(), "v".repeat(LONGEST_VALUE + 1))])).is_err());
    }
}
