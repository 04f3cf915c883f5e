//! What the machine can do without the product, measured in the same run: each figure of the product
//! stands beside one of these.

mod bare;
mod pgbench;
mod raw_sqlite;

pub use raw_sqlite::open as open_sqlite;

use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::closed_loop;
use crate::database::{Databases, Kind};

/// A single row of the two drivers, as large as a small run.
const INPUT: &str = r#"{"agent":"researcher","model":"gpt-x","prompt":"Summarise the quarterly report and list three risks with owners.","params":{"temperature":0.2,"max_tokens":512},"trace":"0af7651916cd43dd8448eb211c80319c"}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Single-row inserts: pgbench with 8 clients, or one writer on SQLite (WAL, synchronous=FULL).
    Insert,
    /// Claims and completions of 100 rows in two transactions: pgbench with 8 clients.
    Claim,
    /// An actix handler that answers a constant JSON, 64 connections.
    BareHandler,
    /// An actix handler that reads a row by its key through sea-orm, 64 connections.
    RowByKey,
}

impl Limit {
    pub fn describe(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Insert, Kind::Postgres) => "pgbench, single-row insert, 8 clients",
            (Self::Insert, Kind::Sqlite) => "raw single-row insert, one writer",
            (Self::Claim, _) => "pgbench, claim and complete 100, 8 clients (rows)",
            (Self::BareHandler, _) => "bare actix handler, JSON, 64 connections",
            (Self::RowByKey, _) => "actix + sea-orm, row by key, 64 connections",
        }
    }
}

/// The tables and servers that the limits are measured on.
pub struct Limits {
    kind: Kind,
    url: String,
    bare: bare::Bare,
}

impl Limits {
    pub async fn prepare(databases: &mut Databases) -> Result<Self> {
        let url = databases.fresh().await?;
        match databases.kind {
            Kind::Sqlite => raw_sqlite::prepare(&url).await?,
            Kind::Postgres => pgbench::prepare(&url).await?,
        }
        let bare = bare::Bare::start(&url).await?;
        Ok(Self { kind: databases.kind, url, bare })
    }

    /// Operations a second; `None` where the limit is not one of this database.
    pub async fn measure(&self, limit: Limit, warm_up: Duration, time: Duration) -> Result<Option<f64>> {
        let measured = match (limit, self.kind) {
            (Limit::Insert, Kind::Sqlite) => raw_sqlite::inserts(&self.url, warm_up, time).await?,
            (Limit::Insert, Kind::Postgres) => pgbench::inserts(&self.url, warm_up, time).await?,
            (Limit::Claim, Kind::Sqlite) => return Ok(None),
            (Limit::Claim, Kind::Postgres) => pgbench::claims(&self.url, time).await?,
            (Limit::BareHandler | Limit::RowByKey, _) => {
                let plan = self.bare.plan(limit == Limit::RowByKey, warm_up, time);
                closed_loop::run(&plan).await?.per_second
            }
        };
        Ok(Some(measured))
    }
}
