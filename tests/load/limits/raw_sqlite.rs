//! SQLite by one writer that commits each row, with the settings of the product.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use service::clock::Clock;
use service::ids::Ids;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};

use crate::Result;

const INSERT: &str = "INSERT INTO task_run (id, tenant_id, status, input, created_at, run_at) VALUES (?, ?, 'queued', ?, ?, ?)";

pub async fn open(url: &str) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .pragma("cache_size", "-65536")
        .pragma("mmap_size", "268435456");
    Ok(options.connect().await?)
}

pub async fn prepare(url: &str) -> Result<()> {
    let mut connection = open(url).await?;
    connection.execute(include_str!("schema.sqlite.sql")).await?;
    Ok(connection.close().await?)
}

pub async fn inserts(url: &str, warm_up: Duration, time: Duration) -> Result<f64> {
    let mut connection = open(url).await?;
    let (clock, mut rows) = (Clock::system(), 0_u32);
    let ids = Ids::random(clock.clone());
    let tenant = ids.next();
    let start = Instant::now();
    while start.elapsed() < warm_up + time {
        let now = clock.now().timestamp_micros();
        let insert = sqlx::query(INSERT).bind(ids.next()).bind(tenant).bind(super::INPUT).bind(now).bind(now);
        insert.execute(&mut connection).await?;
        if start.elapsed() >= warm_up {
            rows += 1;
        }
    }
    connection.close().await?;
    Ok(f64::from(rows) / time.as_secs_f64())
}
