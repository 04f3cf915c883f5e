//! Schedules that are all due at one instant: how long until each has its fire record, and what that does to
//! the latency of other requests.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use service::clock::Clock;

use crate::Result;
use crate::database::Kind;
use crate::http::{Connection, Request};
use crate::server::{Server, Tenant};

/// How long after the start of their creation they are due.
const AHEAD: Duration = Duration::from_secs(90);
const IDLE: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(120);
const PROBE: Duration = Duration::from_millis(2);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HerdFigure {
    pub database: Kind,
    pub schedules: usize,
    /// From the instant until every schedule has its fire record.
    pub recorded_ms: f64,
    /// Of `GET /v1/whoami`, before the instant and from it to the last record.
    pub idle_p99_ms: f64,
    pub herd_p99_ms: f64,
}

pub async fn measure(server: &Server, tenant: &Tenant, schedules: usize, kind: Kind) -> Result<HerdFigure> {
    let clock = Clock::system();
    let due = clock.after(AHEAD);
    create(server, tenant, due, schedules).await?;
    let left = (due - clock.now()).to_std()?;
    if left < IDLE {
        return Err("the schedules were not created in time".into());
    }
    tokio::time::sleep(left - IDLE).await;
    let idle = probe(server, tenant, Instant::now() + IDLE - 10 * PROBE, None).await?;
    tokio::time::sleep((due - clock.now()).to_std().unwrap_or_default()).await;
    let begun = Instant::now();
    let (sender, receiver) = tokio::sync::watch::channel(false);
    let watched = async {
        let recorded = watch(server, tenant, schedules, begun).await;
        let _ = sender.send(true);
        recorded
    };
    let (recorded, herd) = tokio::try_join!(watched, probe(server, tenant, begun + LONGEST, Some(receiver)))?;
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(HerdFigure {
        database: kind,
        schedules,
        recorded_ms: millis(recorded),
        idle_p99_ms: millis(p99(idle)),
        herd_p99_ms: millis(p99(herd)),
    })
}

async fn create(server: &Server, tenant: &Tenant, due: DateTime<Utc>, count: usize) -> Result<()> {
    let mut connection = Connection::open(server.address).await?;
    for number in 0..count {
        let body = json!({ "name": format!("herd {number}"), "definitionId": tenant.tool_definition,
            "scheduleType": "ONE_TIME", "runAt": due, "input": {} });
        let request = Request::new("POST", "/v1/scheduled-tasks", &tenant.credential, Some(&body));
        let answer = connection.send(&request).await?;
        if answer.status != 201 {
            return Err(answer.unexpected().into());
        }
    }
    Ok(())
}

/// Until all have a record.
async fn watch(server: &Server, tenant: &Tenant, schedules: usize, begun: Instant) -> Result<Duration> {
    let mut connection = Connection::open(server.address).await?;
    let path = "/v1/schedule-fires?count=true&limit=1";
    let request = Request::new("GET", path, &tenant.credential, None);
    while begun.elapsed() < LONGEST {
        let answer: Value = connection.send(&request).await?.json()?;
        if answer["total"].as_u64().is_some_and(|total| total >= schedules as u64) {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err("not every schedule has fired".into())
}

/// How long one request after the other took, until then or until it is told to stop.
async fn probe(
    server: &Server,
    tenant: &Tenant,
    until: Instant,
    stop: Option<tokio::sync::watch::Receiver<bool>>,
) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(server.address).await?;
    let request = Request::new("GET", "/v1/whoami", &tenant.credential, None);
    let mut took = Vec::new();
    while Instant::now() < until && !stop.as_ref().is_some_and(|stop| *stop.borrow()) {
        let started = Instant::now();
        connection.send(&request).await?;
        took.push(started.elapsed());
        tokio::time::sleep(PROBE).await;
    }
    Ok(took)
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took.get((took.len() * 99) / 100).or(took.last()).copied().unwrap_or_default()
}
