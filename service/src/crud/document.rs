//! Documents inside a resource (`config`, `limits`): read, merged (RFC 7396) and checked as a whole,
//! so that a PATCH of one member keeps the others and the result obeys the same rules as a new one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::Patch;
use super::objects::Objects;
use super::words::in_words;
use crate::error::{Error, FieldError, Result, pointer_to};

/// The stored form.
pub fn stored(document: &impl Serialize) -> Result<Value> {
    serde_json::to_value(document).map_err(Error::internal)
}

/// A document from its stored form; one that cannot be read is logged and taken as empty.
pub fn read<T: DeserializeOwned + Default>(stored: Value) -> T {
    serde_json::from_value(stored).unwrap_or_else(|error| {
        tracing::error!(%error, document = std::any::type_name::<T>(), "a stored document cannot be read");
        T::default()
    })
}

/// `patch` over `current`.
///
/// # Errors
/// [`Error::Invalid`] with pointers under `pointer`.
pub fn patched<T>(current: &T, patch: &Value, pointer: &str) -> Result<T>
where
    T: Serialize + DeserializeOwned + Validate,
{
    if !patch.is_object() {
        return Err(Error::invalid(pointer, "type", "must be an object"));
    }
    let mut document = stored(current)?;
    merge(&mut document, patch);
    let mut track = serde_path_to_error::Track::new();
    let value = T::deserialize(serde_path_to_error::Deserializer::new(Objects(document), &mut track));
    let value = value.map_err(|error| {
        let pointer = track.path().iter().fold(pointer.to_owned(), |pointer, segment| match segment {
            Segment::Map { key } => pointer_to(&pointer, key),
            Segment::Seq { index } => pointer_to(&pointer, index),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        });
        let message = error.to_string();
        let (code, words) = match message.starts_with("unknown field") {
            true => ("unknown_field", "is not a field of this resource".to_owned()),
            false => in_words(&message),
        };
        Error::invalid(pointer, code, words)
    })?;
    value.validate().map_err(|errors| {
        let mut found = Vec::new();
        collect(pointer, &errors, &mut found);
        Error::Invalid { errors: found }
    })?;
    Ok(value)
}

/// RFC 7396, section 2. Depth is bounded where JSON enters.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in members {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// RFC 7396 for a free-form document that may be absent.
pub fn apply(target: &mut Option<Value>, patch: &Patch<Value>) {
    match patch {
        Patch::Keep => {}
        Patch::Clear => *target = None,
        Patch::Set(patch) => merge(target.get_or_insert(Value::Null), patch),
    }
}

fn collect(parent: &str, errors: &ValidationErrors, found: &mut Vec<FieldError>) {
    for (field, kind) in errors.errors() {
        let pointer =
            if field == "__all__" { parent.to_owned() } else { pointer_to(parent, camel_case(field)) };
        match kind {
            ValidationErrorsKind::Struct(nested) => collect(&pointer, nested, found),
            ValidationErrorsKind::List(items) => {
                for (index, nested) in items {
                    collect(&pointer_to(&pointer, index), nested, found);
                }
            }
            ValidationErrorsKind::Field(broken) => found.extend(broken.iter().map(|rule| FieldError {
                pointer: pointer.clone(),
                code: rule.code.clone(),
                message: message(rule),
            })),
        }
    }
}

fn message(rule: &validator::ValidationError) -> String {
    let bound = |name| rule.params.get(name).map(ToString::to_string);
    match (&rule.message, bound("min"), bound("max")) {
        (Some(message), _, _) => message.to_string(),
        (None, Some(min), Some(max)) => format!("must be {min} to {max}"),
        (None, Some(min), None) => format!("must be at least {min}"),
        (None, None, Some(max)) => format!("must be at most {max}"),
        (None, None, None) => format!("breaks the rule {}", rule.code),
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
        name + &head.to_ascii_uppercase() + tail
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::AgentLimits;

    #[test]
    fn members_are_kept_set_and_reset() {
        let limits = AgentLimits { max_steps: 7, max_depth: 2, ..AgentLimits::default() };
        let patched = patched(&limits, &json!({"maxSteps": 9, "maxDepth": null}), "/limits").unwrap();
        assert_eq!((patched.max_steps, patched.max_depth), (9, AgentLimits::default().max_depth));
    }

    #[test]
    fn the_result_obeys_the_rules() {
        let pointer = |patch: Value| match patched(&AgentLimits::default(), &patch, "/limits") {
            Err(Error::Invalid { errors }) => errors[0].pointer.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(pointer(json!({"maxSteps": 0})), "/limits/maxSteps");
        assert_eq!(pointer(json!({"maxSteps": "x"})), "/limits/maxSteps");
        assert_eq!(pointer(json!({"x": 1})), "/limits/x");
        assert_eq!(pointer(json!([])), "/limits");
    }

    #[test]
    fn rfc_7396_examples() {
        for (mut target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, result);
        }
    }
}
