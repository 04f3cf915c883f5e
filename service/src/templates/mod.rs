//! Templates from data to data: JSON whose strings may hold `{{ expression }}`, rendered with a
//! JSON context.
//!
//! A string that is exactly one expression keeps the JSON type of its value (`"{{ limit }}"` becomes
//! `10`); inside longer text a value that is no string appears as compact JSON. Keys are literal.
//! Every other character stands for itself: there are no statements, comments, includes or loaders.
//!
//! Invariants: values are data and never evaluated again, whatever braces they hold; an undefined
//! name is an error; work and output are bounded (see [`engine`] and [`MAX_OUTPUT`]).

mod engine;
mod scan;
#[cfg(test)]
mod tests;
mod text;

use serde_json::{Map, Value};

pub use self::engine::Context;
pub use self::text::Text;
use crate::error::{Error, FieldError, pointer_to};

/// Bytes of everything one rendering makes, keys and literals included.
pub const MAX_OUTPUT: usize = 256 * 1024;
/// Nested containers in a template.
const MAX_DEPTH: usize = 32;

/// A compiled template.
#[derive(Debug)]
pub struct Template(Node);

#[derive(Debug)]
enum Node {
    Literal(Value),
    Text(Text),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Why a template gave nothing for this context: where in the template (a JSON pointer) and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    pub pointer: String,
    pub message: String,
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

impl std::error::Error for TemplateError {}

/// What one rendering may still write and do.
struct Budget {
    bytes: usize,
    work: engine::Work,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_OUTPUT, work: engine::Work::default() }
    }
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or("the output is too large")?;
        Ok(())
    }
}

impl Template {
    /// Compiles a template; `pointer` is where it stands in the caller's document.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place of each broken string.
    pub fn compile(template: &Value, pointer: &str) -> Result<Self, Error> {
        let mut errors = Vec::new();
        let node = Node::compile(template, pointer, 1, &mut errors);
        if errors.is_empty() { Ok(Self(node)) } else { Err(Error::Invalid { errors }) }
    }

    /// [`Template::compile`] for its errors alone.
    pub fn check(template: &Value, pointer: &str) -> Result<(), Error> {
        Self::compile(template, pointer).map(drop)
    }

    /// What its expressions name, as paths (`input.rooms`), each with its place below `pointer`.
    pub fn names(&self, pointer: &str) -> Vec<(String, String)> {
        let mut names = Vec::new();
        self.0.names(pointer, &mut names);
        names
    }

    /// Renders; the error's pointer is relative to the template.
    pub fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        self.0.render(context, &mut Budget::default(), "")
    }
}

impl Node {
    fn compile(template: &Value, pointer: &str, depth: usize, errors: &mut Vec<FieldError>) -> Self {
        if depth > MAX_DEPTH {
            let message = format!("A template is at most {MAX_DEPTH} levels deep.");
            errors.push(FieldError::new(pointer, "too_deep", message));
            return Self::Literal(Value::Null);
        }
        match template {
            Value::String(source) => match Text::compile(source) {
                Ok(text) => Self::Text(text),
                Err(message) => {
                    errors.push(FieldError::new(pointer, "template", message));
                    Self::Literal(Value::Null)
                }
            },
            Value::Array(items) => Self::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::compile(item, &pointer_to(pointer, index), depth + 1, errors))
                    .collect(),
            ),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(key, member)| {
                        (key.clone(), Self::compile(member, &pointer_to(pointer, key), depth + 1, errors))
                    })
                    .collect(),
            ),
            literal => Self::Literal(literal.clone()),
        }
    }

    fn names(&self, pointer: &str, names: &mut Vec<(String, String)>) {
        match self {
            Self::Literal(_) => {}
            Self::Text(text) => names.extend(text.names().map(|name| (pointer.to_owned(), name))),
            Self::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| item.names(&pointer_to(pointer, at), names));
            }
            Self::Object(members) => {
                members.iter().for_each(|(key, member)| member.names(&pointer_to(pointer, key), names));
            }
        }
    }

    fn render(&self, context: &Context, budget: &mut Budget, pointer: &str) -> Result<Value, TemplateError> {
        let here = |message| TemplateError { pointer: pointer.to_owned(), message };
        match self {
            Self::Literal(value) => {
                budget.take(8).map_err(here)?;
                Ok(value.clone())
            }
            Self::Text(text) => text.render(context, budget).map_err(here),
            Self::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| item.render(context, budget, &pointer_to(pointer, index)))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Self::Object(members) => members
                .iter()
                .map(|(key, member)| {
                    budget.take(key.len()).map_err(here)?;
                    Ok((key.clone(), member.render(context, budget, &pointer_to(pointer, key))?))
                })
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        }
    }
}
