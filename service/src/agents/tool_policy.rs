//! The policy of a tool's use by an agent: whether a call is made, asked about or refused, and what
//! the model does not decide.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::error::{Error, Result, pointer_to};
use crate::schema::{Schema, SchemaCache};

/// What happens when the model calls the tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToolPolicy {
    #[default]
    Allow,
    /// A person has to approve the call.
    Ask,
    /// The model is told that the call is refused.
    Deny,
}

/// How an agent may use a tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentToolConfig {
    /// Where no condition fits.
    pub policy: ToolPolicy,
    /// The first one that fits the call's arguments decides.
    #[validate(length(max = 50), nested)]
    #[schema(max_items = 50)]
    pub conditions: Vec<Condition>,
    /// Merged over the arguments of the model, which does not see these properties.
    #[validate(custom(function = "few_presets"))]
    #[schema(value_type = Object)]
    pub preset_arguments: Map<String, Value>,
    /// In one run; null is no limit of its own.
    #[validate(range(min = 1, max = 1_000))]
    #[schema(required, minimum = 1, maximum = 1_000)]
    pub max_calls: Option<u32>,
    /// A successful call ends the run with its output.
    pub terminal: bool,
}

/// Fits when the argument at `pointer` is there and passes the one test given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[validate(schema(function = "one_test"))]
pub struct Condition {
    /// RFC 6901, into the arguments: `/amount`.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, pattern = "^/")]
    pub pointer: String,
    /// The argument is this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// The argument is one of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(min = 1, max = 100))]
    #[schema(min_items = 1, max_items = 100, nullable = false)]
    pub r#in: Option<Vec<Value>>,
    /// The argument is text with a match of this regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[validate(length(min = 1, max = 512))]
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub matches: Option<String>,
    pub policy: ToolPolicy,
}

fn few_presets(presets: &Map<String, Value>) -> Result<(), ValidationError> {
    if presets.len() <= 50 { Ok(()) } else { Err(ValidationError::new("max_items")) }
}

fn one_test(condition: &Condition) -> Result<(), ValidationError> {
    let Condition { pointer, equals, r#in, matches, policy: _ } = condition;
    let given = [equals.is_some(), r#in.is_some(), matches.is_some()];
    let wrong = |code, message: &'static str| {
        let mut error = ValidationError::new(code);
        error.message = Some(message.into());
        error
    };
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err(wrong("condition", "needs exactly one of equals, in and matches"));
    }
    if !pointer.starts_with('/') {
        return Err(wrong("pointer", "needs a pointer that starts with /"));
    }
    Ok(())
}

impl Condition {
    /// The test as a JSON Schema, so that one bounded engine does all the matching.
    fn schema(&self) -> Value {
        match (&self.equals, &self.r#in, &self.matches) {
            (Some(value), _, _) => json!({"const": value}),
            (_, Some(values), _) => json!({"enum": values}),
            (_, _, Some(pattern)) => json!({"type": "string", "pattern": pattern}),
            (None, None, None) => json!(false),
        }
    }
}

impl AgentToolConfig {
    /// Compiles what can be wrong beyond shapes.
    ///
    /// # Errors
    /// [`Error::Invalid`] under `pointer`.
    pub fn check(&self, pointer: &str) -> Result<()> {
        let conditions = pointer_to(pointer, "conditions");
        self.conditions.iter().enumerate().try_for_each(|(index, condition)| {
            let pointer = pointer_to(&conditions, index);
            match Schema::compile(&condition.schema(), &pointer) {
                Err(_) if condition.matches.is_some() => {
                    let message =
                        "is not a regular expression, or one without look-around and back-references";
                    Err(Error::invalid(pointer_to(&pointer, "matches"), "pattern", message))
                }
                other => other.map(drop),
            }
        })
    }

    /// What happens to a call with these arguments, presets included.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a stored condition no longer compiles; the call must not be made.
    pub async fn decide(&self, arguments: &Value, schemas: &SchemaCache) -> Result<ToolPolicy, Error> {
        for condition in &self.conditions {
            let Some(argument) = arguments.pointer(&condition.pointer) else { continue };
            if schemas.get(&condition.schema()).await?.check(argument, "").is_ok() {
                return Ok(condition.policy);
            }
        }
        Ok(self.policy)
    }

    /// The model's arguments with the presets over them.
    pub fn arguments(&self, mut given: Value) -> Value {
        if let Value::Object(members) = &mut given {
            members.extend(self.preset_arguments.clone());
        }
        given
    }

    /// The tool's schema as the model sees it: without the preset properties.
    pub fn visible(&self, mut schema: Value) -> Value {
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| !self.preset_arguments.contains_key(name));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required
                .retain(|name| name.as_str().is_none_or(|name| !self.preset_arguments.contains_key(name)));
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> AgentToolConfig {
        serde_json::from_value(value).unwrap()
    }

    #[tokio::test]
    async fn the_first_condition_that_fits_decides() {
        let config = config(json!({
            "policy": "ASK",
            "conditions": [
                {"pointer": "/to", "matches": "@evil\\.example$", "policy": "DENY"},
                {"pointer": "/amount", "in": [1, 2], "policy": "ALLOW"},
                {"pointer": "/to", "equals": "me", "policy": "ALLOW"},
            ],
        }));
        let schemas = SchemaCache::default();
        for (arguments, policy) in [
            (json!({"to": "x@evil.example", "amount": 1}), ToolPolicy::Deny),
            (json!({"amount": 2}), ToolPolicy::Allow),
            (json!({"amount": 3, "to": "me"}), ToolPolicy::Allow),
            (json!({"to": 7}), ToolPolicy::Ask),
            (json!({}), ToolPolicy::Ask),
        ] {
            assert_eq!(config.decide(&arguments, &schemas).await.unwrap(), policy, "{arguments}");
        }
    }

    #[test]
    fn presets_win_and_are_hidden() {
        let config = config(json!({"presetArguments": {"account": "a1"}}));
        assert_eq!(
            config.arguments(json!({"account": "other", "text": "hi"})),
            json!({"account": "a1", "text": "hi"})
        );
        let schema = json!({"type": "object", "required": ["account", "text"],
            "properties": {"account": {}, "text": {}}});
        assert_eq!(
            config.visible(schema),
            json!({"type": "object", "required": ["text"], "properties": {"text": {}}})
        );
    }

    #[test]
    fn a_condition_has_one_test_that_compiles() {
        let both =
            config(json!({"conditions": [{"pointer": "/a", "equals": 1, "in": [1], "policy": "ASK"}]}));
        assert!(both.validate().is_err());
        let broken = config(json!({"conditions": [{"pointer": "/a", "matches": "(", "policy": "ASK"}]}));
        assert!(broken.validate().is_ok());
        let Err(Error::Invalid { errors }) = broken.check("/config") else { panic!("accepted") };
        assert_eq!(errors[0].pointer, "/config/conditions/0/matches");
    }
}
