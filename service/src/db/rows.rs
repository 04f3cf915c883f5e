//! Many rows as parameters of one statement, whose text does not depend on their number: prepared and
//! planned once. An array a column on PostgreSQL, one JSON array of all rows on SQLite.

use std::borrow::Borrow;

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::Value;
use sea_orm::sea_query::ArrayType;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use uuid::Uuid;

use super::Dialect;

/// A column of the rows made from items of `T`: its name, and each item's value.
pub struct Column<T> {
    name: &'static str,
    cell: fn(&T) -> Value,
    kind: Kind,
    nullable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Uuid,
    Text,
    Int,
    Bool,
    Time,
    Json,
}

impl<T> Column<T> {
    pub const fn new(name: &'static str, kind: Kind, cell: fn(&T) -> Value) -> Self {
        Self { name, cell, kind, nullable: false }
    }

    /// A column whose cells may be NULL.
    pub const fn optional(name: &'static str, kind: Kind, cell: fn(&T) -> Value) -> Self {
        Self { name, cell, kind, nullable: true }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Dialect {
    /// A sub-select, named `v`, of the rows that are bound from `$first` on. Its column `ord` counts from
    /// 1 in their order.
    pub fn rows<T>(self, first: usize, columns: &[Column<T>]) -> String {
        match self {
            Self::Sqlite => {
                let cells = columns.iter().enumerate().map(|(at, column)| sqlite_cell(at, column));
                // Without its LIMIT the sub-select would be dissolved, and each use of a column read anew.
                format!("(SELECT key + 1 AS ord, {} FROM jsonb_each(${first}) LIMIT -1) v", join(cells))
            }
            Self::Postgres => {
                let arrays = (first..)
                    .zip(columns)
                    .map(|(at, column)| format!("${at}::{}[]", postgres(column.kind).0));
                format!(
                    "(SELECT ord, {} FROM unnest({}) WITH ORDINALITY AS e({}, ord)) v",
                    join(columns.iter().map(postgres_cell)),
                    join(arrays),
                    join(columns.iter().map(|column| column.name.to_owned())),
                )
            }
        }
    }

    /// What is bound from `$first` on.
    pub fn bind<T, R: Borrow<T>>(self, columns: &[Column<T>], items: &[R]) -> Vec<Value> {
        match self {
            Self::Sqlite => {
                let cells =
                    |item: &R| columns.iter().map(|column| Cell(column.value(item.borrow()))).collect();
                let rows: Vec<Vec<Cell>> = items.iter().map(cells).collect();
                // Text keys and finite numbers: nothing that JSON cannot hold.
                vec![serde_json::to_string(&rows).unwrap_or_default().into()]
            }
            Self::Postgres => {
                let array = |column: &Column<T>| {
                    let (_, kind, null, _) = postgres(column.kind);
                    let cell = |item: &R| {
                        let value = column.value(item.borrow());
                        if value.is_some() { value } else { null.clone() }
                    };
                    Value::Array(kind, Some(Box::new(items.iter().map(cell).collect())))
                };
                columns.iter().map(array).collect()
            }
        }
    }
}

impl<T> Column<T> {
    /// PostgreSQL cannot store NUL, which a model or a tool may send: it becomes U+FFFD, so that one row's
    /// text does not fail the commit of others.
    fn value(&self, item: &T) -> Value {
        match (self.cell)(item) {
            Value::String(Some(text)) if text.contains('\0') => text.replace('\0', "\u{fffd}").into(),
            Value::Json(Some(json)) => Value::Json(Some(Box::new(storable(*json)))),
            value => value,
        }
    }
}

/// The value without NUL, for statements that bind it by itself.
pub fn storable(mut value: Json) -> Json {
    if has_nul(&value) {
        replace_nul(&mut value);
    }
    value
}

fn has_nul(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

fn replace_nul(value: &mut Json) {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
        Json::String(text) => *text = text.replace('\0', "\u{fffd}"),
        Json::Array(items) => items.iter_mut().for_each(replace_nul),
        Json::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                replace_nul(&mut value);
                fields.insert(name.replace('\0', "\u{fffd}"), value);
            }
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn sqlite_cell<T>(at: usize, Column { name, kind, .. }: &Column<T>) -> String {
    match kind {
        Kind::Uuid => format!("unhex(value ->> {at}) AS {name}"),
        Kind::Text | Kind::Int | Kind::Bool | Kind::Time => format!("value ->> {at} AS {name}"),
        Kind::Json => format!("nullif(value -> {at}, 'null') AS {name}"),
    }
}

/// Time as SQLite stores it: such texts sort as time does.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// A value as SQLite's statements read it from JSON.
struct Cell(Value);

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::Uuid(Some(id)) => to.collect_str(&id.simple()),
            Value::String(Some(text)) => to.serialize_str(text),
            Value::Int(Some(number)) => to.serialize_i32(*number),
            Value::BigInt(Some(number)) => to.serialize_i64(*number),
            Value::Bool(Some(flag)) => to.serialize_bool(*flag),
            Value::ChronoDateTimeUtc(Some(time)) => to.serialize_str(&time_text(*time)),
            Value::Json(Some(value)) => value.serialize(to),
            _ => to.serialize_unit(),
        }
    }
}

/// A column's type in SQL and in an array; and the value that stands for NULL, which the arrays of the
/// driver cannot hold, with its literal. No row has it as a value: times are later, texts have no
/// noncharacters. No column of flags is optional.
fn postgres(kind: Kind) -> (&'static str, ArrayType, Value, &'static str) {
    match kind {
        Kind::Uuid => ("uuid", ArrayType::Uuid, Uuid::nil().into(), "00000000-0000-0000-0000-000000000000"),
        Kind::Text => ("text", ArrayType::String, "\u{ffff}".into(), "\u{ffff}"),
        Kind::Int => ("bigint", ArrayType::BigInt, i64::MIN.into(), "-9223372036854775808"),
        Kind::Bool => ("boolean", ArrayType::Bool, false.into(), "false"),
        Kind::Time => {
            ("timestamptz", ArrayType::ChronoDateTimeUtc, DateTime::<Utc>::UNIX_EPOCH.into(), "epoch")
        }
        Kind::Json => ("jsonb", ArrayType::Json, Json::Null.into(), "null"),
    }
}

fn postgres_cell<T>(Column { name, kind, nullable, .. }: &Column<T>) -> String {
    let (kind, _, _, null) = postgres(*kind);
    if *nullable { format!("nullif({name}, '{null}'::{kind}) AS {name}") } else { (*name).to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_replaced_and_what_looks_like_it_is_kept() {
        let value = json!(["a\u{0}b", "\\u0000", { "k\u{0}": "plain" }]);
        assert_eq!(storable(value), json!(["a\u{fffd}b", "\\u0000", { "k\u{fffd}": "plain" }]));
    }
}
