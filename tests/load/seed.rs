//! Fills `task_run` by SQL with copies of one finished run, spread over the days before it, so that
//! reading is measured on tables that would take hours to make over HTTP. Steps and events are not copied.

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use crate::Result;
use crate::database::Kind;
use crate::limits::open_sqlite;

/// Milliseconds between two runs.
const APART: u32 = 500;

/// Copies the run `id` until there are `rows` runs. The server must not run: nothing of it is asked.
pub async fn copy(kind: Kind, url: &str, id: &str, rows: u32) -> Result<()> {
    match kind {
        Kind::Sqlite => sqlite(url, id, rows).await,
        Kind::Postgres => postgres(url, id, rows).await,
    }
}

async fn sqlite(url: &str, id: &str, rows: u32) -> Result<()> {
    let mut connection = open_sqlite(url).await?;
    let found =
        sqlx::query("SELECT name FROM pragma_table_info('task_run')").fetch_all(&mut connection).await?;
    let columns = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    let millis = format!("(CAST(strftime('%s', t.created_at) AS INTEGER) * 1000 - n * {APART})");
    let new = NewValues {
        id: format!(
            "unhex(printf('%012x7', {millis}) || substr(hex(randomblob(2)), 1, 3) || '8' || substr(hex(randomblob(8)), 1, 15))"
        ),
        time: format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', {millis} / 1000.0, 'unixepoch')"),
    };
    let sql = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT count(*) FROM task_run \
         UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {rows}) \
         INSERT INTO task_run ({}) SELECT {} FROM numbers, task_run t \
         WHERE t.id = unhex(replace('{id}', '-', ''))",
        columns.join(", "),
        new.of(&columns),
    );
    connection.execute(sqlx::AssertSqlSafe(sql)).await?;
    connection.execute("ANALYZE").await?;
    Ok(connection.close().await?)
}

async fn postgres(url: &str, id: &str, rows: u32) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'task_run'::regclass AND attnum > 0 AND NOT attisdropped";
    let found = sqlx::query(columns).fetch_all(&mut connection).await?;
    let columns = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    let time = format!("(t.created_at - n * interval '{APART} ms')");
    let new = NewValues {
        id: format!(
            "(lpad(to_hex((extract(epoch FROM {time}) * 1000)::bigint), 12, '0') || '7' || \
             substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid"
        ),
        time,
    };
    let sql = format!(
        "INSERT INTO task_run ({}) SELECT {} FROM generate_series((SELECT count(*) FROM task_run), {rows} - 1) n, \
         task_run t WHERE t.id = '{id}'",
        columns.join(", "),
        new.of(&columns),
    );
    connection.execute(sqlx::AssertSqlSafe(sql)).await?;
    connection.execute("VACUUM ANALYZE").await?;
    Ok(connection.close().await?)
}

/// The expressions of what differs from the copied row.
struct NewValues {
    id: String,
    time: String,
}

impl NewValues {
    fn of(&self, columns: &[String]) -> String {
        let value = |column: &String| match column.as_str() {
            "id" => self.id.clone(),
            "created_at" | "updated_at" | "queued_at" | "started_at" | "completed_at" | "available_at" => {
                self.time.clone()
            }
            other => format!("t.{other}"),
        };
        columns.iter().map(value).collect::<Vec<_>>().join(", ")
    }
}
