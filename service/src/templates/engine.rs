//! The expression engine: minijinja with strict undefined values, fuel, and the filters listed here.
//!
//! Nothing built in is trusted to stay small: filters that can grow their input are our own and
//! capped, and values leave the engine through a capped writer, because a sequence may be lazy. Nor to
//! stay fast: what an expression names times what it does with it is bounded before it is evaluated.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;

use minijinja::value::{ValueKind, merge_maps};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, filters, tests};
use serde_json::Value;

use super::{MAX_OUTPUT, scan};

/// Instructions one expression may execute.
const FUEL: u64 = 20_000;
/// Values that one rendering may walk through, over all its expressions: an operator or a filter is one instruction,
/// however much it reads.
const MAX_WORK: usize = 500_000;
/// Bytes of text that count as one value.
const TEXT_UNIT: usize = 16;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.add_filter("abs", filters::abs);
    engine.add_filter("default", filters::default);
    engine.add_filter("first", filters::first);
    engine.add_filter("float", filters::float);
    engine.add_filter("int", filters::int);
    engine.add_filter("join", join);
    engine.add_filter("last", filters::last);
    engine.add_filter("length", filters::length);
    engine.add_filter("lower", filters::lower);
    engine.add_filter("round", filters::round);
    engine.add_filter("string", string);
    engine.add_filter("tojson", tojson);
    engine.add_filter("trim", filters::trim);
    engine.add_filter("upper", filters::upper);
    engine.add_test("defined", tests::is_defined);
    engine.add_test("none", tests::is_none);
    engine
});

/// What the names in expressions stand for; made once for many renderings, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Context(minijinja::Value);

impl From<&Value> for Context {
    fn from(value: &Value) -> Self {
        Self(minijinja::Value::from_serialize(value))
    }
}

impl Context {
    /// An object of members that are made already.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self(members.into_iter().map(|(name, member)| (name.to_owned(), member.0)).collect())
    }

    /// The same with more names, which hide those that it has.
    pub fn with(&self, names: &Value) -> Self {
        Self(merge_maps([minijinja::Value::from_serialize(names), self.0.clone()]))
    }
}

/// What is left of the work of one rendering.
pub(super) struct Work(usize);

impl Default for Work {
    fn default() -> Self {
        Self(MAX_WORK)
    }
}

pub(super) struct Expression {
    compiled: minijinja::Expression<'static, 'static>,
    source: String,
    /// What it looks up, as far as that is a path from a name: `steps.fetch.output`.
    names: Vec<String>,
    /// Operators and filters, each of which may walk through all that it is given.
    walks: usize,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl Expression {
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        let compiled = ENGINE.compile_expression_owned(source.to_owned()).map_err(|e| message(source, &e))?;
        let mut names: BTreeSet<String> = compiled.undeclared_variables(true).into_iter().collect();
        // The library does not look into what is sliced.
        let mut whole = scan::without_slice(source);
        while let Some(source) = whole {
            let inner = ENGINE.compile_expression(&source).map_err(|e| message(&source, &e))?;
            names.extend(inner.undeclared_variables(true));
            whole = scan::without_slice(&source);
        }
        let names = names.into_iter().collect();
        Ok(Self { compiled, source: source.to_owned(), names, walks: walks(source) })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn eval(&self, context: &Context, work: &mut Work, max_bytes: usize) -> Result<Value, String> {
        self.meter(context, work)?;
        let value = self.compiled.eval(&context.0).map_err(|error| message(&self.source, &error))?;
        if value.kind() == ValueKind::Undefined {
            return Err(format!("{{{{ {} }}}}: undefined value", self.source));
        }
        json(&value, max_bytes).map_err(|error| message(&self.source, &error))
    }
}

impl Expression {
    /// Refuses what would take long: all that the expression can reach is what it names. What is only named, and not
    /// walked through, is no work: it is bounded as output.
    fn meter(&self, context: &Context, work: &mut Work) -> Result<(), String> {
        let walks = self.walks.max(1);
        let most = if self.walks == 0 { MAX_WORK } else { work.0 / walks };
        let mut left = most;
        for name in &self.names {
            let mut value = Some(context.0.clone());
            for step in name.split('.') {
                value = value.and_then(|value| value.get_attr(step).ok());
            }
            left = value
                .map_or(Some(left), |value| after(&value, left))
                .ok_or_else(|| format!("{{{{ {} }}}}: too much work on too much data", self.source))?;
        }
        if self.walks > 0 {
            work.0 -= (most - left) * walks;
        }
        Ok(())
    }
}

/// What is left of the budget after walking through the value once.
fn after(value: &minijinja::Value, left: usize) -> Option<usize> {
    if let Some(text) = value.as_str() {
        return left.checked_sub(1 + text.len() / TEXT_UNIT);
    }
    let mut left = left.checked_sub(1)?;
    let is_map = value.kind() == ValueKind::Map;
    if is_map || value.kind() == ValueKind::Seq {
        for item in value.try_iter().ok()? {
            let member = if is_map { value.get_item(&item).ok()? } else { item };
            left = after(&member, left)?;
        }
    }
    Some(left)
}

/// How many operators and filters a source has, at most: those in its literals count too.
fn walks(source: &str) -> usize {
    let signs = source.matches(['|', '=', '<', '>', '+', '-', '/', '%', ':', '[']).count();
    let words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
    signs + words.filter(|word| ["in", "is", "and", "or", "not"].contains(word)).count()
}

/// How a value reads inside text: strings as they are, everything else as compact JSON.
pub(super) fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn message(source: &str, error: &minijinja::Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{{{{ {source} }}}}: {}{detail}", error.kind())
}

fn too_large() -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, "the output is too large")
}

fn json(value: &minijinja::Value, max_bytes: usize) -> Result<Value, minijinja::Error> {
    if let Some(text) = value.as_str() {
        return if text.len() > max_bytes { Err(too_large()) } else { Ok(Value::String(text.to_owned())) };
    }
    serde_json::from_slice(&bytes(value, max_bytes)?)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn bytes(value: &minijinja::Value, max_bytes: usize) -> Result<Vec<u8>, minijinja::Error> {
    let mut writer = Capped { bytes: Vec::new(), max_bytes };
    match serde_json::to_writer(&mut writer, value) {
        Ok(()) => Ok(writer.bytes),
        Err(error) if error.is_io() => Err(too_large()),
        Err(error) => Err(minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())),
    }
}

struct Capped {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Write for Capped {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + buffer.len() > self.max_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn string(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    json(value, MAX_OUTPUT).map(text_of)
}

fn tojson(value: &minijinja::Value) -> Result<String, minijinja::Error> {
    let text = bytes(value, MAX_OUTPUT)?;
    String::from_utf8(text)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Joins what a sequence holds, as text.
fn join(value: &minijinja::Value, separator: Option<&str>) -> Result<String, minijinja::Error> {
    if value.kind() != ValueKind::Seq {
        return Err(minijinja::Error::new(ErrorKind::InvalidOperation, "join needs a list"));
    }
    let mut output = String::new();
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            output.push_str(separator.unwrap_or_default());
        }
        output.push_str(&string(&item)?);
        if output.len() > MAX_OUTPUT {
            return Err(too_large());
        }
    }
    Ok(output)
}
