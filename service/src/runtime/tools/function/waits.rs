//! The built-ins that are not made but waited for: what their arguments ask the engine to wait for.
//!
//! Invariant: what is waited for is bounded in time, and a question's schema compiles before anybody is asked.

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::run_wait::{WaitExpiry, WaitKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ToolFailure;
use super::builtin::invalid;
use crate::engine::Wait;
use crate::schema::Schema;

const LONGEST_SECONDS: i64 = 366 * 24 * 3_600;
/// How long a person or an event has, unless the call says otherwise.
const DEFAULT_SECONDS: i64 = 24 * 3_600;
const LONGEST_QUESTION: usize = 4_000;
pub const LONGEST_KEY: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    Seconds,
    Until,
    Question,
    Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seconds {
    seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Until {
    until: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    question: String,
    schema: Option<Value>,
    #[serde(flatten)]
    end: End,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    key: String,
    #[serde(flatten)]
    end: End,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    expires_in_seconds: Option<i64>,
    #[serde(default)]
    on_expire: WaitExpiry,
}

impl Waits {
    pub fn parameters(self) -> Value {
        let (own, required) = match self {
            Self::Seconds => (
                json!({"seconds": {"type": "integer", "minimum": 1, "maximum": LONGEST_SECONDS}}),
                json!(["seconds"]),
            ),
            Self::Until => (
                json!({"until": {"type": "string", "format": "date-time", "description": "RFC 3339, with an offset."}}),
                json!(["until"]),
            ),
            Self::Question => (
                json!({
                    "question": {"type": "string", "minLength": 1, "maxLength": LONGEST_QUESTION},
                    "schema": {"type": "object", "description": "JSON Schema that the answer has to fit; any answer fits without one."},
                }),
                json!(["question"]),
            ),
            Self::Event => (
                json!({"key": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY,
                    "description": "The correlationKey of the event to wait for."}}),
                json!(["key"]),
            ),
        };
        let mut properties = own;
        if matches!(self, Self::Question | Self::Event)
            && let Some(properties) = properties.as_object_mut()
        {
            properties.insert(
                "expiresInSeconds".to_owned(),
                json!({"type": "integer", "minimum": 1, "maximum": LONGEST_SECONDS, "description": "A day if absent."}),
            );
            properties.insert(
                "onExpire".to_owned(),
                json!({"enum": ["CONTINUE", "FAIL"], "description": "Whether the run goes on when nothing came in time."}),
            );
        }
        json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
    }

    /// What the call of that step waits for.
    pub fn wait(self, step: i32, arguments: &Value, now: DateTime<Utc>) -> Result<Wait, ToolFailure> {
        match self {
            Self::Seconds => {
                let Seconds { seconds } = read(arguments)?;
                Ok(Wait::timer(step, after(now, seconds, "seconds")?))
            }
            Self::Until => {
                let Until { until } = read(arguments)?;
                if until - now > TimeDelta::seconds(LONGEST_SECONDS) {
                    return Err(invalid("until is at most a year ahead"));
                }
                Ok(Wait::timer(step, until.max(now)))
            }
            Self::Question => {
                let Question { question, schema, end } = read(arguments)?;
                if question.trim().is_empty() || question.len() > LONGEST_QUESTION {
                    return Err(invalid(format!("question has 1 to {LONGEST_QUESTION} bytes")));
                }
                if let Some(schema) = &schema {
                    Schema::compile(schema, "/schema").map_err(|error| invalid(error.to_string()))?;
                }
                let mut request = json!({"question": question});
                if let (Some(request), Some(schema)) = (request.as_object_mut(), schema) {
                    request.insert("schema".to_owned(), schema);
                }
                end.of(now, |until, on_expire| Wait {
                    kind: WaitKind::UserInput,
                    step,
                    key: None,
                    request,
                    on_expire,
                    until,
                })
            }
            Self::Event => {
                let Event { key, end } = read(arguments)?;
                if key.trim().is_empty() || key.chars().count() > LONGEST_KEY || key.contains('\0') {
                    return Err(invalid(format!("key has 1 to {LONGEST_KEY} characters")));
                }
                end.of(now, |until, on_expire| Wait {
                    kind: WaitKind::ExternalEvent,
                    step,
                    key: Some(key),
                    request: json!({}),
                    on_expire,
                    until,
                })
            }
        }
    }
}

impl End {
    fn of(
        self,
        now: DateTime<Utc>,
        wait: impl FnOnce(DateTime<Utc>, WaitExpiry) -> Wait,
    ) -> Result<Wait, ToolFailure> {
        let seconds = self.expires_in_seconds.unwrap_or(DEFAULT_SECONDS);
        Ok(wait(after(now, seconds, "expiresInSeconds")?, self.on_expire))
    }
}

fn after(now: DateTime<Utc>, seconds: i64, name: &str) -> Result<DateTime<Utc>, ToolFailure> {
    let fits = (1..=LONGEST_SECONDS).contains(&seconds);
    fits.then(|| now + TimeDelta::seconds(seconds))
        .ok_or_else(|| invalid(format!("{name} has to be from 1 to {LONGEST_SECONDS}")))
}

fn read<T: DeserializeOwned>(arguments: &Value) -> Result<T, ToolFailure> {
    T::deserialize(arguments).map_err(|error| invalid(error.to_string()))
}
