//! Compiled schemas by content. Bounded by the weight of what compiling made, not by count alone.

use moka::future::Cache;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Schema;
use crate::error::Error;

/// Weight is the JSON's bytes: a compiled schema is roughly ten times that, patterns aside.
const MAX_WEIGHT: u64 = 4 * 1024 * 1024;

/// A schema that was checked when it was stored is compiled once a process, not once a run.
#[derive(Clone)]
pub struct SchemaCache(Cache<[u8; 32], (u32, Schema)>);

impl Default for SchemaCache {
    fn default() -> Self {
        let weigh = |_: &[u8; 32], (bytes, _): &(u32, Schema)| *bytes;
        Self(Cache::builder().max_capacity(MAX_WEIGHT).weigher(weigh).build())
    }
}

impl SchemaCache {
    /// The compiled schema.
    ///
    /// # Errors
    /// As [`Schema::compile`] with an empty prefix; failures are not kept.
    pub async fn get(&self, schema: &Value) -> Result<Schema, Error> {
        let text = schema.to_string();
        let key: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some((_, found)) = self.0.get(&key).await {
            return Ok(found);
        }
        let compiled = Schema::compile(schema, "")?;
        let weight = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.insert(key, (weight, compiled.clone())).await;
        Ok(compiled)
    }
}
