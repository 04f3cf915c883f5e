//! What SQLite and PostgreSQL do differently. No other file asks which database it talks to.
//!
//! Statements over many rows take them as one JSON array: their text is constant, so each is
//! prepared once, whatever the number of rows.

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::DbBackend;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A column of a set of rows that is passed as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Column(pub &'static str, pub ColumnType);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Uuid,
    Text,
    Int,
    Bool,
    Time,
    Json,
    /// Hexadecimal text in the JSON.
    Bytes,
}

impl Dialect {
    pub(super) fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// A sub-select, named `v`, of the rows in the JSON array bound to `$parameter`. Its column `ord`
    /// counts from 1 in the array's order.
    pub fn rows(self, parameter: usize, columns: &[Column]) -> String {
        match self {
            Self::Sqlite => {
                let list: Vec<_> = columns
                    .iter()
                    .map(|column| format!("{} AS {}", sqlite_cell(*column), column.0))
                    .collect();
                format!("(SELECT key + 1 AS ord, {} FROM json_each(${parameter})) v", list.join(", "))
            }
            Self::Postgres => {
                let list: Vec<_> = columns
                    .iter()
                    .map(|column| format!("{} AS {}", postgres_cell(*column), column.0))
                    .collect();
                format!(
                    "(SELECT ord, {} FROM jsonb_array_elements(${parameter}::jsonb) WITH ORDINALITY AS e(value, ord)) v",
                    list.join(", ")
                )
            }
        }
    }

    /// Locks the selected rows and passes over those that another transaction holds.
    /// On SQLite the transaction itself is the lock.
    pub fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE SKIP LOCKED",
        }
    }

    /// Locks the selected rows against other writers.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// Takes the lock named `$1` until the transaction ends; a SQLite write transaction is alone anyway.
    pub fn named_lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text"),
        }
    }

    /// The database's clock as a statement with one column `now`, or `None` where it is this machine's.
    pub fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT clock_timestamp() AS now"),
        }
    }

    pub fn literal(self, value: bool) -> &'static str {
        match (self, value) {
            (Self::Sqlite, false) => "0",
            (Self::Sqlite, true) => "1",
            (Self::Postgres, false) => "false",
            (Self::Postgres, true) => "true",
        }
    }

    /// A JSON literal.
    pub fn json(self, text: &str) -> String {
        let text = text.replace('\'', "''");
        match self {
            Self::Sqlite => format!("'{text}'"),
            Self::Postgres => format!("'{text}'::jsonb"),
        }
    }

    /// The column, or an empty JSON object where it is NULL.
    pub fn json_or_empty(self, column: &str) -> String {
        format!("COALESCE({column}, {})", self.json("{}"))
    }

    /// The text at a path in a JSON column.
    pub fn json_text(self, column: &str, path: &[&str]) -> String {
        match self {
            Self::Sqlite => format!("({column} ->> '$.{}')", path.join(".")),
            Self::Postgres => format!("({column} #>> '{{{}}}')", path.join(",")),
        }
    }

    /// The whole number at a path in a JSON column.
    pub fn json_int(self, column: &str, path: &[&str]) -> String {
        match self {
            Self::Sqlite => self.json_text(column, path),
            Self::Postgres => format!("{}::bigint", self.json_text(column, path)),
        }
    }

    pub fn greatest(self, a: &str, b: &str) -> String {
        match self {
            Self::Sqlite => format!("MAX({a}, {b})"),
            Self::Postgres => format!("GREATEST({a}, {b})"),
        }
    }

    /// The time expression, some seconds later.
    pub fn after_seconds(self, time: &str, seconds: &str) -> String {
        match self {
            Self::Sqlite => {
                format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', {time}, ({seconds}) || ' seconds')")
            }
            Self::Postgres => format!("({time} + ({seconds}) * interval '1 second')"),
        }
    }

    /// RETURNING of an `UPDATE task_run AS alias … FROM`, where SQLite wants bare names and PostgreSQL
    /// qualified ones.
    pub fn returning_of(self, alias: &str) -> String {
        let columns = ["id", "event_seq", "status", "reason"];
        match self {
            Self::Sqlite => format!("RETURNING {}", columns.join(", ")),
            Self::Postgres => {
                let columns: Vec<_> = columns.iter().map(|column| format!("{alias}.{column}")).collect();
                format!("RETURNING {}", columns.join(", "))
            }
        }
    }

    /// Milliseconds between two time expressions.
    pub fn millis_between(self, from: &str, to: &str) -> String {
        match self {
            Self::Sqlite => {
                format!("CAST(ROUND((julianday({to}) - julianday({from})) * 86400000.0) AS INTEGER)")
            }
            Self::Postgres => format!("CAST(EXTRACT(EPOCH FROM ({to} - {from})) * 1000 AS BIGINT)"),
        }
    }
}

/// Time as both databases take it in JSON, and as SQLite stores it: such texts sort as time does.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

fn sqlite_cell(Column(name, kind): Column) -> String {
    match kind {
        ColumnType::Uuid => format!("unhex(replace(value ->> '{name}', '-', ''))"),
        ColumnType::Text | ColumnType::Int | ColumnType::Bool | ColumnType::Time => {
            format!("value ->> '{name}'")
        }
        ColumnType::Json => format!("nullif(value -> '{name}', 'null')"),
        ColumnType::Bytes => format!("unhex(value ->> '{name}')"),
    }
}

fn postgres_cell(Column(name, kind): Column) -> String {
    let kind = match kind {
        ColumnType::Uuid => "uuid",
        ColumnType::Text => return format!("value ->> '{name}'"),
        ColumnType::Int => "bigint",
        ColumnType::Bool => "boolean",
        ColumnType::Time => "timestamptz",
        ColumnType::Json => return format!("nullif(value -> '{name}', 'null'::jsonb)"),
        ColumnType::Bytes => return format!("decode(value ->> '{name}', 'hex')"),
    };
    format!("(value ->> '{name}')::{kind}")
}
