//! Any number of nodes on one database: what is committed late is not passed over, whoever commits it.

use std::net::TcpListener;

use serde_json::{Value, json};
use service::backup::quarantine;
use service::core::{Core, World};
use service::db::Reason;
use service::engine::transitions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ends, id, numbered, timeline};
use crate::support::event_stream::EventStream;
use crate::support::{App, Backend};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_does_is_followed_at_another() {
    let app = App::start(Backend::Postgres).await;
    let agent = app.acme.agent("echo", json!({})).await;
    let node = Core::open(app.core.config.clone(), World::real()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let options = api::server::Options { workers: 1, ..Default::default() };
    tokio::spawn(api::server::run(node, listener, options, stop.clone()));
    let there = app.acme.owner.at(&url);
    let mut stream = EventStream::open(&there, "/v1/stream", None).await;
    stream.next().await.unwrap();
    // Made there, executed here.
    let made =
        there.post("/v1/task-runs?wait=30", json!({ "agentId": agent, "input": "x" })).await.expect(201);
    let run = app.acme.run(json!({ "agentId": agent, "input": "y" })).await;
    let mut seen = stream.until(|sent| ends(sent, &run)).await;
    let place = seen.pop().unwrap();
    for run in [&made, &run] {
        let of_run = seen.iter().chain([&place]).filter(|sent| sent.data["runId"] == run["id"]);
        assert_eq!(
            of_run.map(|sent| numbered(&sent.data)).collect::<Vec<_>>(),
            timeline(&app, id(run)).await
        );
    }
    // The other node goes on behind an id of this one.
    let before = seen.pop().unwrap().id.unwrap();
    let page = app.acme.owner.get(&format!("/v1/stream?after={before}")).await.expect(200);
    assert_eq!(page["data"], json!([place.data]));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_late_is_waited_for() {
    let app = App::start(Backend::Postgres).await;
    let agent = app.acme.agent("echo", json!({})).await;
    let late = app.acme.run(json!({ "agentId": agent, "input": "late" })).await;
    let mut stream = EventStream::open(&app.acme.owner, "/v1/stream", None).await;
    let start = stream.until(|sent| sent.id.is_some()).await;
    assert!(start.is_empty());
    let (tenant, run): (Uuid, Uuid) = (app.acme.id.parse().unwrap(), id(&late).parse().unwrap());
    let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
    let sql =
        "UPDATE task_run SET event_seq = event_seq + 1 WHERE tenant_id = $1 AND id = $2 RETURNING event_seq";
    let seq =
        tx.query(sql, vec![tenant.into(), run.into()]).await.unwrap()[0].try_get("", "event_seq").unwrap();
    let event = transitions::event(tenant, run, seq, "attempt.log", json!({}), app.core.clock.now());
    transitions::append_events(&tx, &[event]).await.unwrap();
    // Another one begins later and commits before.
    let early = app.acme.run(json!({ "agentId": agent, "input": "early" })).await;
    let page = app.acme.owner.get("/v1/stream?limit=1").await.expect(200);
    assert_eq!(page["data"][0]["runId"], late["id"], "what is behind an open transaction is not given yet");
    let place = page["next"].as_str().unwrap().to_owned();
    tx.commit().await.unwrap();
    let seen = stream.until(|sent| ends(sent, &early)).await;
    let of_early: Vec<_> = seen.iter().filter(|sent| sent.data["runId"] == early["id"]).collect();
    assert_eq!(of_early.len(), timeline(&app, id(&early)).await.len());
    let logs = |data: &Value| data["type"] == "attempt.log";
    assert_eq!(seen.iter().filter(|sent| logs(&sent.data)).count(), 1, "{seen:?}");
    let page = app.acme.owner.get(&format!("/v1/stream?after={place}&limit=200")).await.expect(200);
    let behind = page["data"].as_array().unwrap();
    assert_eq!(
        behind.iter().filter(|event| logs(event) || event["runId"] == early["id"]).count(),
        of_early.len() + 1
    );
    let tree = format!("/v1/task-runs/{}/events?children=true", id(&late));
    let tree = EventStream::open(&app.acme.owner, &tree, None).await.rest().await;
    assert!(logs(&tree.last().unwrap().data));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_counts_anew() {
    let app = App::start(Backend::Postgres).await;
    let key = app.acme.key(&app, &["*"]).await;
    let agent = app.acme.agent("echo", json!({})).await;
    let run = app.acme.run(json!({ "agentId": agent, "input": "x" })).await;
    let tree = format!("/v1/task-runs/{}/events?children=true", id(&run));
    // The server that it comes from had done more than this one.
    let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
    tx.execute("UPDATE run_event SET position = position + 1000000000", Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    let unsettled = key.get(&tree).await.expect(200);
    assert_eq!((&unsettled["data"], &unsettled["hasMore"]), (&json!([]), &json!(true)));
    let core = &app.core;
    quarantine::begin(&core.db, &core.clock, &core.ids).await.unwrap();
    assert!(quarantine::confirm(&core.db, &core.clock, &core.ids).await.unwrap());
    let page = key.get(&tree).await.expect(200);
    let seqs: Vec<_> =
        page["data"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=6).collect::<Vec<_>>());
    assert_eq!(EventStream::open(&key, &tree, None).await.rest().await.len(), 6);
}
