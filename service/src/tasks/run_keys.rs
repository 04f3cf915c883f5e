//! The keys that a definition gives its runs: which of them share slots, and which are one run.
//!
//! Invariant: a stored key leads with its definition, so that two definitions never share one by chance, and
//! is at most [`MOST_CHARS`] long behind it.

use entity::tasks::task_run::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::DefinitionConfig;
use crate::engine::policy::{KeyRule, Strategy};
use crate::error::{Error, Result};
use crate::templates::{Context, Text};

const MOST_CHARS: usize = 200;

/// How many runs with the same key execute at once, over all nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Concurrency {
    /// A template over the run's `input`: `{{ input.customerId }}`. It renders to 1 to 200 characters, and is
    /// the definition's own: another one's equal key is another key.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub key: String,
    #[serde(default = "one")]
    #[validate(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000, default = 1)]
    pub limit: u32,
    /// What becomes of a new run when `limit` of the key are live. With QUEUE only those that execute count;
    /// with the others all that have not ended, those that wait for people included.
    #[serde(default)]
    pub strategy: Strategy,
}

fn one() -> u32 {
    1
}

/// Which runs of a definition are one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dedupe {
    /// A template over the run's `input`: `{{ input.orderId }}`. It renders to 1 to 200 characters, and is the
    /// definition's own. A `dedupeKey` of the request goes before it.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    pub key: String,
    #[serde(default)]
    pub until: DedupeUntil,
    /// With `until` TTL: how long after its creation the first run is the answer, whatever became of it.
    #[serde(default)]
    #[validate(range(min = 1, max = 2_592_000))]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub ttl_seconds: Option<u32>,
}

/// How long a run answers for its dedupe key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DedupeUntil {
    /// While it is not terminal.
    #[default]
    Terminal,
    /// For `ttlSeconds`.
    Ttl,
}

impl Concurrency {
    pub(super) fn check(&self, pointer: &str) -> Result<()> {
        compile(&self.key, pointer).map(drop)
    }
}

impl Dedupe {
    pub(super) fn check(&self, pointer: &str) -> Result<()> {
        compile(&self.key, pointer)?;
        let pointer = format!("{pointer}/ttlSeconds");
        match (self.until, self.ttl_seconds) {
            (DedupeUntil::Ttl, None) => {
                Err(Error::invalid(pointer, "required", "With until TTL, ttlSeconds is required."))
            }
            (DedupeUntil::Terminal, Some(_)) => {
                Err(Error::invalid(pointer, "exclusive", "Only until TTL has ttlSeconds."))
            }
            _ => Ok(()),
        }
    }
}

fn compile(key: &str, pointer: &str) -> Result<Text> {
    Text::compile(key).map_err(|message| Error::Invalid {
        errors: vec![crate::error::FieldError::new(format!("{pointer}/key"), "template", message)],
    })
}

/// The compiled keys of a definition that has any.
#[derive(Debug)]
pub struct RunKeys {
    definition: Uuid,
    concurrency: Option<(Text, KeyRule)>,
    dedupe: Option<(Text, Option<u32>)>,
}

impl RunKeys {
    /// `None` where the definition has no keys.
    pub fn of(definition: Uuid, config: &DefinitionConfig) -> Result<Option<Self>> {
        let concurrency = match &config.concurrency {
            None => None,
            Some(Concurrency { key, limit, strategy }) => {
                Some((compile(key, "/concurrency")?, KeyRule { limit: *limit, strategy: *strategy }))
            }
        };
        let dedupe = match &config.dedupe {
            None => None,
            Some(Dedupe { key, until: _, ttl_seconds }) => Some((compile(key, "/dedupe")?, *ttl_seconds)),
        };
        let some = concurrency.is_some() || dedupe.is_some();
        Ok(some.then_some(Self { definition, concurrency, dedupe }))
    }

    /// Gives the run the keys that its input makes. A dedupe key that it has already stays; a replay, which
    /// is asked for by name, gets none.
    ///
    /// # Errors
    /// [`Error::Invalid`] at `/input` when a key cannot be made of it.
    pub fn stamp(&self, run: &mut Model) -> Result<()> {
        let context = Context::from(&json!({ "input": run.input }));
        if let Some((key, rule)) = &self.concurrency {
            run.concurrency_key = self.render(key, &context, "concurrency_key")?;
            set(run, "concurrency", serde_json::to_value(rule).map_err(Error::internal)?);
        }
        let dedupe = self.dedupe.as_ref().filter(|_| run.dedupe_key.is_none() && run.replay_of.is_none());
        if let Some((key, seconds)) = dedupe {
            run.dedupe_key = Some(self.render(key, &context, "dedupe_key")?);
            set(run, "dedupeSeconds", json!(seconds));
        }
        Ok(())
    }

    fn render(&self, key: &Text, context: &Context, code: &'static str) -> Result<String> {
        let text = |value| {
            Ok(match value {
                Value::String(text) => text,
                other => other.to_string(),
            })
        };
        let invalid = |message| Error::invalid("/input", code, message);
        let rendered = key.render_with(context, text).map_err(|message| {
            invalid(format!(
                "The definition's {} cannot be made of the input: {message}",
                code.replace('_', " ")
            ))
        })?;
        if rendered.is_empty() || rendered.chars().count() > MOST_CHARS {
            let name = code.replace('_', " ");
            return Err(invalid(format!("The {name} has 1 to {MOST_CHARS} characters.")));
        }
        Ok(stored(self.definition, &rendered))
    }
}

fn set(run: &mut Model, rule: &str, value: Value) {
    if let Value::Object(policy) = &mut run.policy {
        policy.insert(rule.to_owned(), value);
    }
}

/// A key as it is stored. Text from PostgreSQL has no NUL.
pub fn stored(definition: Uuid, key: &str) -> String {
    format!("{definition}/{}", key.replace('\0', "\u{fffd}"))
}

/// A key as people know it: without the definition that it leads with.
pub fn shown(key: String, definition: Option<Uuid>) -> String {
    let own = definition.and_then(|id| key.strip_prefix(&format!("{id}/")).map(str::to_owned));
    own.unwrap_or(key)
}
