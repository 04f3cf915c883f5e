//! `mission-control worker` beside a server that executes nothing.

use serde_json::json;

use crate::support::process::{Home, free_port, log_file};
use crate::support::{Backend, Client, database, eventually, first_tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_executes_what_the_server_accepts_and_shows_its_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home {
        folder: folder.path().to_owned(),
        database: database::fresh(Backend::Postgres, folder.path()).await,
        private_hosts: "127.0.0.1".to_owned(),
        lease_seconds: 30,
        concurrency: 0,
    };
    let server = home.start(0).await;
    let acme = first_tenant(&server.url).await;
    let agent = acme.agent("echo", json!({})).await;
    let path = acme.create(json!({ "agentId": agent, "input": "hello" })).await;
    assert_eq!(acme.owner.get(&path).await.expect(200)["status"], "PENDING");

    let worker = home.worker(free_port());
    eventually("the worker ends the run", async || {
        acme.owner.get(&path).await.expect(200)["status"] == "COMPLETED"
    })
    .await;
    let metrics = Client::new(&worker.url).get("/metrics").await;
    assert!(metrics.text.contains("engine_attempts_total{status=\"completed\"} 1"), "{}", metrics.text);

    let taken = server.url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(!home.worker(taken).wait(), "an address that is taken is refused");
    let log = std::fs::read_to_string(log_file(folder.path(), taken)).unwrap();
    assert!(log.contains("MC_METRICS_BIND"), "{log}");
}
