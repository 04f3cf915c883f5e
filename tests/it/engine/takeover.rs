//! Proof: real processes that vanish while they hold a run. One is stopped, another on the same PostgreSQL
//! takes the run over and ends it, and the first one wakes: nothing is changed by it. One is killed and
//! started again: it goes on at once, however long its lease.

use serde_json::json;

use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::process::Home;
use crate::support::{Backend, Client, database, eventually, first_tenant};

/// A model whose first answer is held and whose others are good.
fn held_once() -> ModelServer {
    let held = std::sync::atomic::AtomicBool::new(false);
    ModelServer::start(move |_| {
        if held.swap(true, std::sync::atomic::Ordering::SeqCst) {
            Reply::Frames(frames("of the other", &[]))
        } else {
            Reply::Held(frames("of the stopped", &[]))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_wakes_and_changes_nothing() {
    let server = held_once();
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

mod a_killed_process_that_starts_again_goes_on_at_once {
    use super::*;

    async fn check(backend: Backend) {
        let server = held_once();
        let folder = tempfile::tempdir().unwrap();
        let home = Home {
            folder: folder.path().to_owned(),
            database: database::fresh(backend, folder.path()).await,
            private_hosts: server.host.clone(),
            // No other recovery happens while this test waits.
            lease_seconds: 3600,
            concurrency: 16,
        };
        let mut process = home.start(0).await;
        let acme = first_tenant(&process.url).await;
        let agent = acme.model_agent("held", &server, json!({})).await;
        let path = acme.create(json!({ "agentId": agent, "input": "hold" })).await;
        server.until(1).await;
        process.kill();
        let again = home.start(0).await;
        let owner = acme.owner.at(&again.url);
        eventually("the run goes on", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED")
            .await;
        let run = owner.get(&path).await.expect(200);
        assert_eq!((&run["output"], &run["attempt"]), (&json!("of the other"), &json!(2)));
        let events = owner.get(&format!("{path}/events?types=run.lease_lost")).await.expect(200);
        assert_eq!(events["data"].as_array().unwrap().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        check(Backend::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        check(Backend::Postgres).await;
    }
}

async fn everything(owner: &Client, path: &str) -> [serde_json::Value; 3] {
    let run = owner.get(path).await.expect(200);
    let steps = owner.get(&format!("{path}/steps")).await.expect(200);
    [run, steps, owner.get(&format!("{path}/events")).await.expect(200)]
}
