//! What starts runs of a definition without a person: which events or deliveries, and what their runs are given.

mod filter;

use entity::tasks::task_definition::TaskType;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

pub use filter::{EventFilter, FilterCondition};

use crate::error::{Error, FieldError, Result};
use crate::tasks::scheduled_tasks::ScheduleSettings;
use crate::templates::{Context, Template};

/// What starts runs. `{}` and `{"type": "MANUAL"}` are the same: a call of `POST /v1/task-runs`, which starts runs of
/// every definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trigger {
    #[serde(default, rename = "type")]
    pub kind: TriggerType,
    /// Of `EVENT`: which events. Of `WEBHOOK`: which deliveries, all if absent; the type is the one that the sender
    /// names (GitHub's `X-GitHub-Event`, else `type` in the body), and the data is the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub filter: Option<EventFilter>,
    /// A template of the run's input. Over an event: `event.id`, `event.type`, `event.data`, `event.source`,
    /// `event.correlationKey`, `event.createdAt`; without one the input is the event's data. Over a delivery: `body`,
    /// `headers` (names in lower case), `type`, `delivery.id`, `delivery.receivedAt`; without one the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    pub input: Option<Value>,
    /// Of `WEBHOOK`: a template over a delivery. Runs that wait for this key (`builtin/wait_for_event`) go on with the
    /// delivery, which then starts no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 500)]
    pub correlation_key: Option<String>,
    /// Of a SCHEDULED definition, which owns this schedule: it is among the scheduled tasks under the
    /// definition's name, where it is paused, triggered and watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    #[validate(nested)]
    pub schedule: Option<ScheduleSettings>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TriggerType {
    #[default]
    Manual,
    Event,
    Webhook,
    /// The schedule, and calls as well.
    Schedule,
}

const LONGEST_KEY_TEMPLATE: usize = 500;

impl Trigger {
    /// Whether a definition of this type can have it.
    ///
    /// # Errors
    /// [`Error::Invalid`] under `/trigger`.
    pub fn check(&self, of: TaskType) -> Result<()> {
        let Self { kind, filter, input, correlation_key, schedule } = self;
        let mut errors = Vec::new();
        let mut refuse = |field: &str, code, message: &str| {
            errors.push(FieldError::new(format!("/trigger/{field}"), code, message));
        };
        let is_scheduled = of == TaskType::Scheduled;
        if is_scheduled != (*kind == TriggerType::Schedule) {
            let message = "A SCHEDULED definition, and no other, has the trigger SCHEDULE.";
            refuse("type", "exclusive", message);
        }
        match schedule {
            None if is_scheduled => refuse("schedule", "required", "A SCHEDULED definition has a schedule."),
            Some(_) if !is_scheduled => {
                refuse("schedule", "exclusive", "Only a SCHEDULED definition has one.");
            }
            _ => {}
        }
        match (kind, of) {
            (TriggerType::Schedule, _) | (_, TaskType::Scheduled) => {}
            (TriggerType::Webhook, TaskType::Webhook)
            | (TriggerType::Event, TaskType::Automation)
            | (TriggerType::Manual, TaskType::Automation | TaskType::Chat) => {}
            (_, TaskType::Webhook) => {
                refuse("type", "mismatch", "A WEBHOOK task has a trigger of type WEBHOOK.")
            }
            (TriggerType::Webhook, _) => refuse("type", "mismatch", "Only a WEBHOOK task has this trigger."),
            (TriggerType::Event, _) => {
                refuse("type", "mismatch", "Only an AUTOMATION task has this trigger.")
            }
        }
        match kind {
            TriggerType::Manual | TriggerType::Schedule => {
                for (field, is_given) in [("filter", filter.is_some()), ("input", input.is_some())] {
                    if is_given {
                        refuse(field, "unsupported", "Only what an event or a delivery starts has this.");
                    }
                }
            }
            TriggerType::Event if filter.is_none() => {
                refuse("filter", "required", "An EVENT trigger says which events.");
            }
            TriggerType::Event | TriggerType::Webhook => {}
        }
        if correlation_key.is_some() && *kind != TriggerType::Webhook {
            refuse(
                "correlationKey",
                "unsupported",
                "Only a WEBHOOK trigger has this; an event brings its own.",
            );
        }
        if correlation_key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY_TEMPLATE) {
            refuse("correlationKey", "length", "The template of a key has at most 500 bytes.");
        }
        errors.extend(filter.iter().flat_map(|filter| filter.errors("/trigger/filter")));
        let templates = [
            (input.clone(), "/trigger/input"),
            (correlation_key.clone().map(Value::String), "/trigger/correlationKey"),
        ];
        for (template, pointer) in templates {
            if let Some(Err(Error::Invalid { errors: more })) =
                template.map(|template| Template::check(&template, pointer))
            {
                errors.extend(more);
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid { errors }) }
    }

    /// The input of a run that it starts; without a template, `plain`.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the template does not fit what came.
    pub fn input_of(&self, context: &Value, plain: &Value) -> Result<Value> {
        match &self.input {
            None => Ok(plain.clone()),
            Some(template) => render(template, context, "/trigger/input"),
        }
    }

    /// The key of a delivery; none where the template does not fit it, or gives no text.
    pub fn key_of(&self, context: &Value) -> Option<String> {
        let template = Value::String(self.correlation_key.clone()?);
        match render(&template, context, "").ok()? {
            Value::String(key) if !key.is_empty() => Some(key),
            Value::Number(key) => Some(key.to_string()),
            _ => None,
        }
    }
}

fn render(template: &Value, context: &Value, pointer: &str) -> Result<Value> {
    let compiled = Template::compile(template, pointer)?;
    compiled
        .render(&Context::from(context))
        .map_err(|error| Error::invalid(format!("{pointer}{}", error.pointer), "template", error.message))
}
