//! Where an input error is: RFC 6901 pointers in the API's camelCase names, from what serde and
//! validator say in Rust's.

use std::borrow::Cow;

use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use service::crud::words::in_words;
use service::error::FieldError;
use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

fn push(pointer: &mut String, part: &str) {
    pointer.push('/');
    pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
}

/// The pointer of a path that serde has walked; its names are the wire's.
pub fn of_path(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// A field error from serde's text, which names the field only there when it is missing or unknown.
pub fn of_message(mut pointer: String, message: &str) -> FieldError {
    let text = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let named = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    let at = |mut pointer: String, field: &str| {
        let mut last = String::new();
        push(&mut last, field);
        if !pointer.ends_with(&last) {
            pointer.push_str(&last);
        }
        pointer
    };
    if let Some(field) = named("missing field `") {
        push(&mut pointer, field);
        return FieldError::new(pointer, "required", "is required");
    }
    if let Some(field) = named("unknown field `") {
        return FieldError::new(at(pointer, field), "unknown_field", "is not a field of this resource");
    }
    if let Some(field) = named("duplicate field `") {
        return FieldError::new(at(pointer, field), "duplicate_field", "is given more than once");
    }
    let (code, words) = in_words(text);
    FieldError::new(pointer, code, words)
}

/// One error for every rule that validator found broken, nested ones too, in the order of pointers.
pub fn of_validation(errors: &ValidationErrors) -> Vec<FieldError> {
    let mut found = Vec::new();
    collect("", errors, &mut found);
    found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    found
}

fn collect(parent: &str, errors: &ValidationErrors, found: &mut Vec<FieldError>) {
    for (field, kind) in errors.errors() {
        let mut pointer = parent.to_owned();
        // A rule of the whole struct has no field.
        if field != "__all__" {
            push(&mut pointer, &camel_case(field));
        }
        match kind {
            ValidationErrorsKind::Struct(nested) => collect(&pointer, nested, found),
            ValidationErrorsKind::List(items) => {
                for (index, nested) in items {
                    let mut pointer = pointer.clone();
                    push(&mut pointer, &index.to_string());
                    collect(&pointer, nested, found);
                }
            }
            ValidationErrorsKind::Field(broken) => found.extend(broken.iter().map(|rule| FieldError {
                pointer: pointer.clone(),
                code: rule.code.clone(),
                message: message(rule).into_owned(),
            })),
        }
    }
}

fn message(rule: &ValidationError) -> Cow<'static, str> {
    if let Some(message) = &rule.message {
        return message.clone();
    }
    let unit = if rule.code == "length" { " characters or items" } else { "" };
    match (rule.params.get("min"), rule.params.get("max"), rule.params.get("equal")) {
        (_, _, Some(equal)) => format!("must be {equal}{unit}").into(),
        (Some(min), Some(max), _) => format!("must be {min} to {max}{unit}").into(),
        (Some(min), None, _) => format!("must be at least {min}{unit}").into(),
        (None, Some(max), _) => format!("must be at most {max}{unit}").into(),
        (None, None, _) => format!("breaks the rule {}", rule.code).into(),
    }
}

/// `max_steps` → `maxSteps`, `r#type` → `type`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.strip_prefix("r#").unwrap_or(name).chars() {
        if character == '_' {
            upper = true;
        } else if upper {
            camel.extend(character.to_uppercase());
            upper = false;
        } else {
            camel.push(character);
        }
    }
    camel
}

/// The first string or key that has a NUL character.
pub fn of_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| Some(format!("/{index}{}", of_nul(item)?)))
        }
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let mut pointer = String::new();
            push(&mut pointer, &key.replace('\0', "\u{2400}"));
            if key.contains('\0') { Some(pointer) } else { Some(pointer + &of_nul(value)?) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_wires() {
        assert_eq!(camel_case("max_run_steps"), "maxRunSteps");
        assert_eq!(camel_case("r#type"), "type");
        assert_eq!(camel_case("name"), "name");
    }

    #[test]
    fn long_messages_are_cut() {
        let error = of_message(String::new(), &"x".repeat(1000));
        assert_eq!(error.message.len(), 300);
    }
}
