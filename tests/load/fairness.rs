//! How long a run waits for its start while another tenant's backlog is drained: one tenant has queued a great
//! many that become due at once, another creates one a second.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use service::clock::Clock;

use crate::Result;
use crate::database::Kind;
use crate::http::{Connection, Request};
use crate::report::median;
use crate::server::{Server, Tenant, text};

const CONNECTIONS: u32 = 64;
/// The most that seeding may take before the backlog is due.
const SEEDED_WITHIN: chrono::TimeDelta = chrono::TimeDelta::seconds(120);
/// Runs of the other tenant.
const MOST: usize = 60;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FairnessFigure {
    pub database: Kind,
    pub queued: u32,
    /// From creation to start, of each run that was created while the backlog was there.
    pub start_ms: Vec<f64>,
}

impl FairnessFigure {
    pub fn print(&self) {
        let Self { database, queued, start_ms } = self;
        let mut sorted = start_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let p95 = sorted.get(sorted.len() * 95 / 100).copied().unwrap_or(f64::NAN);
        let middle = median(start_ms.iter().copied());
        let count = start_ms.len();
        println!(
            "\nfairness, {database:?}: beside {queued} queued runs, {count} of another tenant started after {middle:.0} ms (p50), {p95:.0} ms (p95)"
        );
    }
}

pub async fn measure(kind: Kind, server: &Server, queued: u32) -> Result<FairnessFigure> {
    let greedy = Tenant::create(server.address).await?;
    let modest = Tenant::another(server.address).await?;
    let due = Clock::system().now() + SEEDED_WITHIN;
    let body = json!({ "definitionId": greedy.tool_definition, "input": {}, "availableAt": due });
    let create = Request::new("POST", "/v1/task-runs", &greedy.credential, Some(&body));
    let mut seeding = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        seeding.spawn(seed(server.address, create.clone(), queued / CONNECTIONS));
    }
    while let Some(seeded) = seeding.join_next().await {
        seeded??;
    }
    let left = (due - Clock::system().now()).to_std().map_err(|_| "seeding took too long")?;
    tokio::time::sleep(left).await;
    let body = json!({ "definitionId": modest.tool_definition, "input": {} });
    let waited = Request::new("POST", "/v1/task-runs?wait=60", &modest.credential, Some(&body));
    let pending = "/v1/task-runs?status=PENDING&limit=1";
    let backlog = Request::new("GET", pending, &greedy.credential, None);
    let (mut connection, mut start_ms) = (Connection::open(server.address).await?, Vec::new());
    while start_ms.len() < MOST {
        let queued = connection.send(&backlog).await?.json()?;
        if queued["data"].as_array().is_none_or(Vec::is_empty) {
            break;
        }
        let run = connection.send(&waited).await?.json()?;
        let at = |field: &str| -> Result<chrono::DateTime<chrono::Utc>> { Ok(text(&run, field)?.parse()?) };
        start_ms
            .push(((at("startedAt")? - at("createdAt")?).num_microseconds().unwrap_or(0) as f64) / 1000.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if start_ms.is_empty() {
        return Err("the backlog was gone before anything could be measured".into());
    }
    Ok(FairnessFigure { database: kind, queued, start_ms })
}

async fn seed(address: SocketAddr, create: Request, count: u32) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..count {
        let answer = connection.send(&create).await?;
        if answer.status != 201 {
            return Err(answer.unexpected().into());
        }
    }
    Ok(())
}
