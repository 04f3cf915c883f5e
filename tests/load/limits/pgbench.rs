//! PostgreSQL by pgbench, with scripts that prepare their statements once.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::process::Command;

use crate::Result;

const CLIENTS: &str = "8";
const ROWS_OF_A_CLAIM: f64 = 100.0;
/// More than the fastest machine claims in the longest measurement, within reason.
const QUEUE: u32 = 600_000;
const LONGEST_CLAIM: Duration = Duration::from_secs(5);

pub async fn prepare(url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(include_str!("schema.sql")).await?;
    Ok(connection.close().await?)
}

pub async fn inserts(url: &str, warm_up: Duration, time: Duration) -> Result<f64> {
    bench(url, "insert1.sql", warm_up).await?;
    bench(url, "insert1.sql", time).await
}

/// Rows claimed and completed a second, out of a full queue.
pub async fn claims(url: &str, time: Duration) -> Result<f64> {
    let mut connection = PgConnection::connect(url).await?;
    let fill = format!(
        "INSERT INTO task_run (id, tenant_id, status, input) \
         SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'queued', '{}' \
         FROM generate_series(1, {QUEUE})",
        super::INPUT
    );
    connection.execute("TRUNCATE task_run").await?;
    connection.execute(sqlx::AssertSqlSafe(fill)).await?;
    connection.execute("VACUUM ANALYZE task_run").await?;
    let claims = bench(url, "claim100.sql", time.min(LONGEST_CLAIM)).await?;
    connection.execute("TRUNCATE task_run").await?;
    connection.close().await?;
    Ok(claims * ROWS_OF_A_CLAIM)
}

async fn bench(url: &str, script: &str, time: Duration) -> Result<f64> {
    let seconds = time.as_secs().max(1).to_string();
    let output = Command::new(program())
        .args(["-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-T", &seconds, "-f"])
        .arg(format!("tests/load/limits/{script}"))
        .arg(url)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.ok_or_else(|| format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Debian keeps it beside the server's binaries.
fn program() -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = debian.map(|version| version.path().join("bin/pgbench")).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| "pgbench".into())
}
