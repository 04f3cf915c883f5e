//! A closed loop: each connection sends its next request when it has the answer to the last. What ends
//! within the measured time counts; any answer that is not the expected one ends the measurement.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::Result;
use crate::http::{Connection, Request};

#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    pub warm_up: Duration,
    pub time: Duration,
    /// Sent in turn; each connection begins at a place of its own.
    pub requests: Arc<Vec<Request>>,
    pub status: u16,
    /// A text that every answer's body has.
    pub contains: &'static str,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    pub requests: usize,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

pub async fn run(plan: &Plan) -> Result<Sample> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for place in 0..plan.connections {
        tasks.spawn(connection(plan.clone(), place, start));
    }
    let mut micros = Vec::new();
    while let Some(done) = tasks.join_next().await {
        micros.extend(done??);
    }
    micros.sort_unstable();
    let at = |part: f64| {
        let index = (micros.len() as f64 * part) as usize;
        micros.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    };
    Ok(Sample {
        requests: micros.len(),
        per_second: micros.len() as f64 / plan.time.as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    })
}

async fn connection(plan: Plan, place: usize, start: Instant) -> Result<Vec<u32>> {
    let mut connection = Connection::open(plan.address).await?;
    let mut micros = Vec::new();
    let first = place * plan.requests.len() / plan.connections;
    for request in plan.requests.iter().cycle().skip(first) {
        let sent = Instant::now();
        let answer = connection.send(request).await?;
        if answer.status != plan.status || !answer.contains(plan.contains) {
            return Err(answer.unexpected().into());
        }
        let now = Instant::now();
        if now >= start + plan.warm_up + plan.time {
            break;
        }
        if now >= start + plan.warm_up {
            micros.push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(micros)
}
