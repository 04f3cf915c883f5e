//! One measurement of the product: the closed loop's sample, and what it cost in processor time and commits.

use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::closed_loop::{self, Plan, Sample};
use crate::http::{Connection, Request};
use crate::process;

/// The processes that are watched.
#[derive(Clone, Copy)]
pub struct Watched {
    pub server: u32,
    /// The first process of the database server, where there is one and it is known.
    pub database: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    #[serde(flatten)]
    pub sample: Sample,
    /// Processor time in microseconds for each request.
    pub server_us: f64,
    pub database_us: f64,
    pub generator_us: f64,
    /// Commands that shared a group commit; 0 where there was none.
    pub rows_per_commit: f64,
}

pub async fn measure(plan: &Plan, watched: Watched) -> Result<Measured> {
    let observe = async {
        tokio::time::sleep(plan.warm_up).await;
        let before = Counters::read(plan, watched).await?;
        tokio::time::sleep(plan.time).await;
        Ok::<_, crate::Failure>((before, Counters::read(plan, watched).await?))
    };
    let (sample, (before, after)) = tokio::try_join!(closed_loop::run(plan), observe)?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / sample.requests.max(1) as f64;
    let commits = after.commits - before.commits;
    Ok(Measured {
        sample,
        server_us: each(after.server.saturating_sub(before.server)),
        database_us: each(after.database.saturating_sub(before.database)),
        generator_us: each(after.generator.saturating_sub(before.generator)),
        rows_per_commit: if commits > 0.0 { (after.rows - before.rows) / commits } else { 0.0 },
    })
}

struct Counters {
    server: Duration,
    database: Duration,
    generator: Duration,
    commits: f64,
    rows: f64,
}

impl Counters {
    async fn read(plan: &Plan, watched: Watched) -> Result<Self> {
        let mut connection = Connection::open(plan.address).await?;
        let answer = connection.send(&Request::new("GET", "/metrics", "", None)).await?;
        let text = String::from_utf8_lossy(answer.body);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
        };
        Ok(Self {
            server: process::time(watched.server),
            database: watched.database.map_or(Duration::ZERO, process::time_of_family),
            generator: process::time(std::process::id()),
            commits: value("engine_commit_rows_count"),
            rows: value("engine_commit_rows_sum"),
        })
    }
}
