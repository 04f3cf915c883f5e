//! What nodes on one PostgreSQL tell each other, so that nobody waits for the next look.

use std::sync::Arc;
use std::time::Duration;

use entity::tasks::task_run::RunStatus;
use serde_json::json;
use service::core::{Core, World};
use service::runtime::Runtime;
use uuid::Uuid;

use crate::support::{App, Backend, eventually};

/// Longer than a hint takes, and shorter than it takes to prove that none comes.
const SOON: Duration = Duration::from_secs(1);

/// Another node, which executes nothing.
async fn node(app: &App) -> (Core, service::engine::Running) {
    let mut config = app.core.config.clone();
    config.engine.concurrency = 0;
    let core = Core::open(config, World::real()).await.unwrap();
    let running = core.engine.start(&core, Arc::new(Runtime)).await.unwrap();
    (core, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_run_at_another_node_is_told_of_its_end() {
    let app = App::start(Backend::Postgres).await;
    let (other, running) = node(&app).await;
    let tool = app.acme.builtin("ask", "builtin/ask_user").await;
    let definition = app.acme.definition("ask", json!({ "toolId": tool })).await;
    // The nodes hear of each other with a sweep.
    eventually("the other node is told", async || {
        let path =
            app.acme.create(json!({ "definitionId": definition, "input": { "question": "Well?" } })).await;
        let waits = async || app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING";
        eventually("it waits", waits).await;
        let run: Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
        let mut subscription = other.engine.watch(run);
        app.acme.owner.post(&format!("{path}/input"), json!({ "answer": 1 })).await.expect(200);
        let completed = async { while subscription.changed().await.status != Some(RunStatus::Completed) {} };
        tokio::time::timeout(SOON, completed).await.is_ok()
    })
    .await;
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_waits_at_another_node_is_called() {
    let app = App::start(Backend::Postgres).await;
    let (other, running) = node(&app).await;
    let definition = app.acme.remote("far", json!({}), json!({})).await;
    let line =
        other.engine.callers().wait(app.acme.id.parse().unwrap(), vec!["function:far".to_owned()].into());
    eventually("it is called", async || {
        app.acme.create(json!({ "definitionId": definition, "input": {} })).await;
        tokio::time::timeout(SOON, line.called()).await.is_ok()
    })
    .await;
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_come_over_their_channel_alone() {
    let app = App::start(Backend::Postgres).await;
    let db = &app.core.db;
    let mut hints = db.hints("a_channel").await.unwrap().unwrap();
    db.hint("another_channel", "not this".to_owned()).await.unwrap();
    db.hint("a_channel", "this".to_owned()).await.unwrap();
    assert_eq!(hints.next().await.unwrap().as_deref(), Some("this"));
    let embedded = App::start(Backend::Sqlite).await;
    assert!(
        embedded.core.db.hints("a_channel").await.unwrap().is_none(),
        "an embedded database has one node"
    );
}
