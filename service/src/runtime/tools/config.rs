//! Stored configurations: unknown fields are refused, errors point into `/config`.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::error::{Error, pointer_to};

/// Where a configuration stands in its tool.
pub(super) const ROOT: &str = "/config";

const MAX_MESSAGE: usize = 300;

pub(super) fn parse<T: DeserializeOwned>(config: &Value) -> Result<T, Error> {
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(config, &mut track);
    T::deserialize(deserializer).map_err(|error| {
        let pointer = track.path().iter().fold(ROOT.to_owned(), |pointer, segment| match segment {
            Segment::Map { key } => pointer_to(&pointer, key),
            Segment::Seq { index } => pointer_to(&pointer, index),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        });
        let message = error.to_string().chars().take(MAX_MESSAGE).collect::<String>();
        Error::invalid(pointer, "config", message)
    })
}
