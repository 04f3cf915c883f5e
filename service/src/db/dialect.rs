//! What SQLite and PostgreSQL do differently. Beside it only [`super::rows`] asks which database it talks to.

use sea_orm::DbBackend;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(super) fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
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

    /// The same for the rows of one table of a join.
    pub fn skip_locked_of(self, alias: &str) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres => format!(" FOR NO KEY UPDATE OF {alias} SKIP LOCKED"),
        }
    }

    /// Locks the selected rows against other writers.
    pub fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// Keeps others from changing the selected rows.
    pub fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// The same for those that nobody changes at this moment.
    pub fn share_skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE SKIP LOCKED",
        }
    }

    /// Takes the lock named `$1` until the transaction ends; a SQLite write transaction is alone anyway.
    pub fn named_lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text"),
        }
    }

    /// The same lock if nobody else has it, as one column `taken`.
    pub fn try_named_lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS taken"),
        }
    }

    /// Writes a copy of one moment of the database to the file `$1`, where it can be a file.
    pub(super) fn copy(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("VACUUM INTO $1"),
            Self::Postgres => None,
        }
    }

    /// The database's clock as a statement with one column `now`, or `None` where it is this machine's.
    pub fn clock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT clock_timestamp() AS now"),
        }
    }

    /// Up to `most` rows of a table that fulfil the condition, found by where they lie: a WHERE.
    pub fn some_rows(self, table: &str, condition: &str, most: usize) -> String {
        match self {
            Self::Sqlite => {
                format!("rowid IN (SELECT rowid FROM {table} WHERE {condition} LIMIT {most}) AND {condition}")
            }
            Self::Postgres => format!(
                "ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT {most})) AND {condition}"
            ),
        }
    }

    /// How `Expr::cust_with_values` writes its one value.
    pub fn custom_value(self) -> &'static str {
        match self {
            Self::Sqlite => "?",
            Self::Postgres => "$1",
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

    /// The place in the order of commits of an event that is inserted from a row of `v`, after its transaction
    /// has written the event's run. One writer at a time counts on, from the time, so that what was removed
    /// never counts again. Where many commit at once it is a number behind the transaction's own and behind all that
    /// have ended: in each run it grows with what was stored, and [`Dialect::settled_events`] tells which are
    /// complete.
    pub fn event_position(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "MAX(CAST(unixepoch('subsec') * 1000000 AS INTEGER), 1 + COALESCE(\
                 (SELECT MAX(e.position) FROM run_event e WHERE e.tenant_id = v.tenant_id), 0))"
            }
            Self::Postgres => {
                "(SELECT GREATEST(pg_snapshot_xmax(pg_current_snapshot())::text::bigint, \
                 pg_current_xact_id()::text::bigint + 1))"
            }
        }
    }

    /// Where the events of a tenant are not complete yet: below that place none can come any more. It stands
    /// beside an aggregate over all of them. A transaction that is open has a number from the oldest one on,
    /// and its events have places behind that number.
    pub fn settled_events(self) -> &'static str {
        match self {
            Self::Sqlite => "COALESCE(MAX(position), 0) + 1",
            Self::Postgres => "pg_snapshot_xmin(pg_current_snapshot())::text::bigint + 1",
        }
    }

    /// Whether places of events mean nothing in another installation of the database.
    pub fn event_positions_are_local(self) -> bool {
        self == Self::Postgres
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
