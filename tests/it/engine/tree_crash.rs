//! Proof: trees and graphs survive `kill -9` in the middle of them. Every run ends, no child is started twice,
//! nothing outlives what started it, and what a tree cost is the sum of its runs.

use std::time::Duration;

use serde_json::{Value, json};
use service::clock::Clock;
use service::ids::Ids;

use crate::support::process::{Home, free_port};
use crate::support::{Backend, Client, Tenant, database, eventually, first_tenant};

const KILLS: u64 = 12;
/// Children of each graph's run: three steps, a list of five, and what the agent asks two others.
const CHILDREN: i64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    survive(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    survive(Backend::Postgres).await;
}

/// A graph with a list, a nested graph, and an agent that asks another one twice.
async fn graph(acme: &Tenant) -> String {
    acme.builtin("echo", "builtin/echo").await;
    acme.builtin("sleep", "builtin/sleep").await;
    let helper = acme.agent("helper", json!({ "type": "TOOL", "costPerRun": "0.25" })).await;
    let boss = acme.agent("boss", json!({ "model": "mock/script" })).await;
    let body =
        json!({ "name": "ask", "description": "Asks.", "type": "AGENT", "config": { "agentId": helper } });
    let ask = acme.owner.post("/v1/tools", body).await.expect(201)["id"].as_str().unwrap().to_owned();
    acme.bind(&boss, &ask, json!({})).await;
    let nap = json!({ "id": "nap", "tool": "sleep", "input": { "ms": 20 } });
    acme.definition("inner", json!({ "config": { "steps": [nap] } })).await;
    let call = |q: &str| json!({ "name": "ask", "arguments": { "question": q } });
    let script = json!([{ "toolCalls": [call("one"), call("two")] }, { "text": "done" }]);
    let steps = json!([
        { "id": "first", "definition": "inner" },
        { "id": "asks", "agent": "boss", "needs": ["first"], "input": { "script": script } },
        { "id": "each", "tool": "sleep", "needs": ["first"], "forEach": [1, 2, 3, 4, 5], "input": { "ms": "{{ item }}" } },
        { "id": "last", "tool": "echo", "needs": ["asks", "each"], "input": { "said": "{{ steps.asks.output }}" } },
    ]);
    acme.definition("outer", json!({ "config": { "steps": steps, "timeouts": { "totalSeconds": 600 } } }))
        .await
}

async fn create(owner: &Client, definition: &str) -> Option<String> {
    let body = json!({ "definitionId": definition, "input": {} });
    let answer = owner.attempt(owner.request("POST", "/v1/task-runs").json(&body)).await.ok()?;
    Some(answer.expect(201)["id"].as_str().unwrap().to_owned())
}

async fn survive(backend: Backend) {
    let seed = Ids::random(Clock::system()).below(u64::MAX);
    println!("seed {seed}");
    let dice = Ids::seeded(Clock::system(), seed);
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(backend, folder.path()).await,
        private_hosts: String::new(),
        lease_seconds: 30,
        concurrency: 16,
    };
    let port = free_port();
    let mut process = home.start(port).await;
    let acme = first_tenant(&process.url).await;
    let definition = graph(&acme).await;
    let mut acknowledged = Vec::new();
    for life in 0..KILLS {
        let run = create(&acme.owner, &definition).await;
        // Not to wait for something: to fall between two moments of the tree.
        tokio::time::sleep(Duration::from_micros(dice.below(120_000))).await;
        if let Some(run) = &run
            && life % 4 == 3
        {
            let cancel = acme.owner.request("POST", &format!("/v1/task-runs/{run}/cancel")).json(&json!({}));
            let _ = acme.owner.attempt(cancel).await;
        }
        acknowledged.extend(run);
        process.kill();
        process = home.start(port).await;
    }
    eventually("every run ends", async || {
        for status in ["PENDING", "RUNNING", "WAITING"] {
            let live = acme.owner.get(&format!("/v1/task-runs?status={status}&limit=1")).await.expect(200);
            if !live["data"].as_array().unwrap().is_empty() {
                return false;
            }
        }
        true
    })
    .await;
    let tree = async |run: &str| {
        let tree = acme.owner.get(&format!("/v1/task-runs/{run}/tree")).await.expect(200);
        tree["data"].as_array().unwrap().clone()
    };
    eventually("every tree adds up", async || {
        for run in &acknowledged {
            if !adds_up(&tree(run).await) {
                return false;
            }
        }
        true
    })
    .await;
    let mut completed = 0;
    for run in &acknowledged {
        completed += usize::from(check(&tree(run).await));
    }
    println!("{KILLS} kills, {} acknowledged trees, {completed} completed", acknowledged.len());
    assert!(completed > 0);
    process.kill();
}

/// Each run's tree costs what its own steps and its children's trees cost.
fn adds_up(tree: &[Value]) -> bool {
    let nanos = |run: &Value, name: &str| (run[name].as_str().unwrap().parse::<f64>().unwrap() * 1e9).round();
    tree.iter().all(|run| {
        let children = tree.iter().filter(|child| child["parentRunId"] == run["id"]);
        let below: f64 = children.map(|child| nanos(child, "treeCost")).sum();
        nanos(run, "treeCost") == nanos(run, "cost") + below
    })
}

/// Whether the tree completed.
fn check(tree: &[Value]) -> bool {
    let root = &tree[0];
    let mut keys: Vec<_> =
        tree.iter().map(|run| (run["parentRunId"].to_string(), run["childKey"].to_string())).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), tree.len(), "a child is there twice");
    let reason = root["reason"].as_str().unwrap();
    if root["status"] != "COMPLETED" {
        // Three executors in a row that vanish end a run, and a test that kills may meet that.
        assert!(["BY_USER", "DEPENDENCY_FAILED", "WORKER_LOST"].contains(&reason), "{root}");
        return false;
    }
    let direct = tree.iter().filter(|run| run["parentRunId"] == root["id"]).count();
    assert_eq!(i64::try_from(direct).unwrap(), CHILDREN);
    assert_eq!(tree.len(), 12, "the root, its children, one nap and two answers");
    true
}
