//! Proof: two real processes on one PostgreSQL. One is stopped while it holds a run, the other takes the
//! run over and ends it, and the first one wakes: nothing is changed by it.

use serde_json::json;

use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::process::Home;
use crate::support::{Backend, Client, database, eventually, first_tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_wakes_and_changes_nothing() {
    let first_held = std::sync::atomic::AtomicBool::new(false);
    let server = ModelServer::start(move |_| {
        if first_held.swap(true, std::sync::atomic::Ordering::SeqCst) {
            Reply::Frames(frames("of the other", &[]))
        } else {
            Reply::Held(frames("of the stopped", &[]))
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(Backend::Postgres, folder.path()).await,
        private_hosts: server.host.clone(),
        lease_seconds: 2,
        concurrency: 16,
    };
    let stopped = home.start(0).await;
    let acme = first_tenant(&stopped.url).await;
    let agent = acme.model_agent("held", &server, json!({})).await;
    let made =
        acme.owner.post("/v1/task-runs", json!({ "agentId": agent, "input": "hold" })).await.expect(201);
    let path = format!("/v1/task-runs/{}", made["id"].as_str().unwrap());
    server.moments().wait_for(|moments| *moments >= 1).await.unwrap();
    stopped.signal("STOP");

    let other = home.start(0).await;
    let owner = acme.owner.at(&other.url);
    eventually("the other process ends the run", async || {
        owner.get(&path).await.expect(200)["status"] == "COMPLETED"
    })
    .await;
    let before = everything(&owner, &path).await;
    assert_eq!(before[0]["output"], "of the other");
    assert_eq!(before[0]["attempt"], 2);

    server.release();
    stopped.signal("CONT");
    eventually("the first process gives up its attempt", async || {
        acme.owner.get("/metrics").await.text.contains("engine_attempts_total{status=\"lease_lost\"}")
    })
    .await;
    assert_eq!(everything(&owner, &path).await, before);
    assert_eq!(server.asked().len(), 2);
}

async fn everything(owner: &Client, path: &str) -> [serde_json::Value; 3] {
    let run = owner.get(path).await.expect(200);
    let steps = owner.get(&format!("{path}/steps")).await.expect(200);
    [run, steps, owner.get(&format!("{path}/events")).await.expect(200)]
}
