//! Workers over HTTP: the protocol, and what it keeps when workers misbehave, vanish or come too late.

mod attempts;
mod claims;
mod examples;
mod fencing;
mod limits;
mod liveness;
mod pushed;
mod registry;

use serde_json::{Value, json};

use crate::support::{App, Client};

/// The types of the run's events.
async fn kinds(client: &Client, run: &str) -> Vec<String> {
    let events = client.get(&format!("/v1/task-runs/{run}/events")).await.expect(200);
    let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
    events["data"].as_array().unwrap().iter().map(kind).collect()
}

pub(super) async fn run_of(client: &Client, run: &str) -> Value {
    client.get(&format!("/v1/task-runs/{run}")).await.expect(200)
}

async fn steps(client: &Client, run: &str) -> Vec<Value> {
    let steps = client.get(&format!("/v1/task-runs/{run}/steps")).await.expect(200);
    steps["data"].as_array().unwrap().clone()
}

/// A run of the definition.
pub(super) async fn create(client: &Client, definition: &str, input: Value) -> String {
    let made = client.post("/v1/task-runs", json!({ "definitionId": definition, "input": input })).await;
    made.expect(201)["id"].as_str().unwrap().to_owned()
}

/// A key of the owner that outlives the clock's moves.
pub(super) async fn key(app: &App) -> Client {
    app.acme.key(app, &["*"]).await
}
