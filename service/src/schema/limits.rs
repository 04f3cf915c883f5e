//! What a schema may not do before it is compiled: be huge, be deep, point outside itself, or hold
//! patterns that are expensive to compile.

use serde_json::Value;

use crate::error::{Error, FieldError, pointer_to};

/// Bytes of the schema as compact JSON.
const MAX_BYTES: usize = 64 * 1024;
/// Nested containers.
const MAX_DEPTH: usize = 32;
/// Patterns in one schema, and characters of one.
const MAX_PATTERNS: usize = 32;
const MAX_PATTERN_CHARS: usize = 512;
const DIALECTS: [&str; 4] = ["draft-06", "draft-07", "2019-09", "2020-12"];

pub(super) fn check(schema: &Value, prefix: &str) -> Result<(), Error> {
    if !(schema.is_object() || schema.is_boolean()) {
        return Err(Error::invalid(prefix, "schema", "A JSON Schema is an object or a boolean."));
    }
    let mut walk = Walk { path: prefix.to_owned(), patterns: 0 };
    walk.value(schema, 1).map_err(|error| Error::Invalid { errors: vec![error] })?;
    if schema.to_string().len() > MAX_BYTES {
        return Err(Error::invalid(prefix, "too_large", format!("A schema has at most {MAX_BYTES} bytes.")));
    }
    Ok(())
}

/// Depth is limited first, so that nothing after it can run out of stack.
struct Walk {
    path: String,
    patterns: usize,
}

impl Walk {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), FieldError> {
        if depth > MAX_DEPTH {
            return Err(self.error("too_deep", format!("A schema is at most {MAX_DEPTH} levels deep.")));
        }
        match value {
            Value::Object(members) => members.iter().try_for_each(|(key, member)| {
                self.at(key, |walk| {
                    walk.keyword(key, member, depth)?;
                    walk.value(member, depth + 1)
                })
            }),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.at(index, |walk| walk.value(item, depth + 1))),
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, key: &str, value: &Value, depth: usize) -> Result<(), FieldError> {
        match (key, value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) if !target.starts_with('#') => {
                Err(self.error("remote_ref", "A reference stays within its schema: it starts with #."))
            }
            // A schema within the schema would change what its references mean.
            ("$id", Value::String(_)) if depth > 1 => {
                Err(self.error("nested_id", "Only the outermost schema has an $id."))
            }
            ("$schema", Value::String(dialect)) if !DIALECTS.iter().any(|known| dialect.contains(known)) => {
                Err(self.error("dialect", "Known dialects are draft-06, draft-07, 2019-09 and 2020-12."))
            }
            ("pattern", Value::String(pattern)) => self.pattern(pattern),
            ("patternProperties", Value::Object(members)) => {
                members.keys().try_for_each(|pattern| self.pattern(pattern))
            }
            _ => Ok(()),
        }
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), FieldError> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(self.error("too_many", format!("A schema has at most {MAX_PATTERNS} patterns.")));
        }
        if pattern.chars().count() > MAX_PATTERN_CHARS {
            let message = format!("A pattern has at most {MAX_PATTERN_CHARS} characters.");
            return Err(self.error("too_long", message));
        }
        Ok(())
    }

    fn at<T>(&mut self, step: impl ToString, f: impl FnOnce(&mut Self) -> T) -> T {
        let here = pointer_to(&self.path, step);
        let parent = std::mem::replace(&mut self.path, here);
        let result = f(self);
        self.path = parent;
        result
    }

    fn error(&self, code: &'static str, message: impl Into<String>) -> FieldError {
        FieldError::new(&self.path, code, message)
    }
}
