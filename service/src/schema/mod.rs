//! JSON Schema (2020-12; older drafts when `$schema` names one): compiling and checking the schemas
//! that users write.
//!
//! Invariant: whatever the schema and the value, compiling and checking are bounded in memory and
//! time, and touch neither the network nor the file system. See [`limits`] and [`cost`] for what is
//! refused.

mod cache;
mod cost;
mod limits;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

pub use self::cache::SchemaCache;
use self::cost::Cost;
use crate::error::{Error, FieldError};

/// Errors reported for one value.
const MAX_ERRORS: usize = 20;
/// Characters of one message.
const MAX_MESSAGE: usize = 300;
/// Bytes of one compiled pattern.
const PATTERN_BYTES: usize = 256 * 1024;

/// A compiled schema; cloning shares it.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    validator: Validator,
    cost: Cost,
}

impl Schema {
    /// Compiles a schema. `format` is asserted for the formats of the specification and ignored for
    /// unknown ones; patterns run on a linear-time engine, so look-around and back-references are
    /// refused.
    ///
    /// # Errors
    /// [`Error::Invalid`] with `pointer_prefix` and the place in the schema, when the schema breaks
    /// its own meta-schema or a limit, or refers to anything outside itself.
    pub fn compile(schema: &Value, pointer_prefix: &str) -> Result<Self, Error> {
        limits::check(schema, pointer_prefix)?;
        let cost = Cost::of(schema).ok_or_else(|| {
            let message = "The schema applies itself without end, or its references and unions too often.";
            Error::invalid(pointer_prefix, "too_complex", message)
        })?;
        jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(
                PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES),
            )
            .build(schema)
            .map(|validator| Self(Arc::new(Compiled { validator, cost })))
            .map_err(|error| Error::Invalid {
                errors: vec![FieldError::new(
                    format!("{pointer_prefix}{}", error.instance_path()),
                    "schema",
                    shorten(&format!("is not a valid JSON Schema: {error}")),
                )],
            })
    }

    /// Checks a value: at most 20 errors, each at `prefix` plus the place in the value, with the
    /// failed keyword as its code. Messages quote the schema, never the value.
    pub fn check(&self, value: &Value, prefix: &str) -> Result<(), Vec<FieldError>> {
        let Compiled { validator, cost } = &*self.0;
        if !cost.allows(value) {
            let message = "The value is too large or too deep for its recursive or branching schema.";
            return Err(vec![FieldError::new(prefix, "too_complex", message)]);
        }
        if validator.is_valid(value) {
            return Ok(());
        }
        Err(validator.iter_errors(value).take(MAX_ERRORS).map(|error| field_error(&error, prefix)).collect())
    }
}

fn field_error(error: &ValidationError<'_>, prefix: &str) -> FieldError {
    FieldError {
        pointer: format!("{prefix}{}", error.instance_path()),
        code: Cow::Owned(error.kind().keyword().to_owned()),
        message: shorten(&error.masked().to_string()),
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE - 1) {
        Some((end, _)) if end + 1 < message.len() => format!("{}…", &message[..end]),
        _ => message.to_owned(),
    }
}
