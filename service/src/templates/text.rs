//! One templated string.

use serde_json::Value;

use super::engine::{self, Context, Expression, Work};
use super::scan::{self, Piece};
use super::{Budget, MAX_OUTPUT};

/// Expressions in one string, and bytes of one.
const MAX_EXPRESSIONS: usize = 64;
const MAX_EXPRESSION_BYTES: usize = 512;

/// Literal text and expressions in turn.
#[derive(Debug)]
pub struct Text(Vec<Part>);

#[derive(Debug)]
enum Part {
    Literal(String),
    Expression(Expression),
}

impl Text {
    /// # Errors
    /// What is wrong with the syntax, as a sentence for the author.
    pub fn compile(source: &str) -> Result<Self, String> {
        let pieces = scan::split(source)?;
        if pieces.iter().filter(|piece| matches!(piece, Piece::Expression(_))).count() > MAX_EXPRESSIONS {
            return Err(format!("a string has at most {MAX_EXPRESSIONS} expressions"));
        }
        let compile = |piece| match piece {
            Piece::Literal(text) => Ok(Part::Literal(text.to_owned())),
            Piece::Expression(source) if source.len() > MAX_EXPRESSION_BYTES => {
                Err(format!("an expression has at most {MAX_EXPRESSION_BYTES} bytes"))
            }
            Piece::Expression(source) => Expression::compile(source).map(Part::Expression),
        };
        pieces.into_iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// The text up to the first expression: all of it when there is none.
    pub fn literal_prefix(&self) -> &str {
        match self.0.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// The text with each expression's value written by `write`; literal text stays as it is.
    pub fn render_with(
        &self,
        context: &Context,
        write: impl Fn(Value) -> Result<String, String>,
    ) -> Result<String, String> {
        let (mut output, mut work) = (String::new(), Work::default());
        for part in &self.0 {
            match part {
                Part::Literal(text) => output.push_str(text),
                Part::Expression(expression) => {
                    output.push_str(&write(expression.eval(context, &mut work, MAX_OUTPUT)?)?);
                }
            }
            if output.len() > MAX_OUTPUT {
                return Err("the output is too large".to_owned());
            }
        }
        Ok(output)
    }

    /// The text with `placeholder` for each expression: what can be said of it before any value is known.
    pub fn with_placeholder(&self, placeholder: &str) -> String {
        let text = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Expression(_) => placeholder.to_owned(),
        };
        self.0.iter().map(text).collect()
    }

    /// What the expressions name, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let expressions = self.0.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Literal(_) => None,
        });
        expressions.flat_map(|expression| expression.names().iter().cloned())
    }

    pub fn is_literal(&self) -> bool {
        !self.0.iter().any(|part| matches!(part, Part::Expression(_)))
    }

    pub(super) fn render(&self, context: &Context, budget: &mut Budget) -> Result<Value, String> {
        if let [Part::Expression(expression)] = self.0.as_slice() {
            let value = expression.eval(context, &mut budget.work, budget.bytes)?;
            budget.take(value.as_str().map_or_else(|| value.to_string().len(), str::len))?;
            return Ok(value);
        }
        let mut output = String::new();
        for part in &self.0 {
            let before = output.len();
            match part {
                Part::Literal(text) => output.push_str(text),
                Part::Expression(expression) => {
                    let value = expression.eval(context, &mut budget.work, budget.bytes)?;
                    output.push_str(&engine::text_of(value));
                }
            }
            budget.take(output.len() - before)?;
        }
        Ok(Value::String(output))
    }
}
