//! The events of a run with those of all below it: one timeline, exact over every reconnect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::event_stream::{EventStream, Sent};
use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::{App, Tenant};

/// A graph in a graph; a tool below each.
async fn nested(acme: &Tenant) -> String {
    acme.builtin("echo", "builtin/echo").await;
    acme.graph(
        "inner",
        json!([{ "id": "a", "tool": "echo", "input": { "n": 1 } }, { "id": "b", "tool": "echo", "input": { "n": 2 } }]),
    )
    .await;
    acme.graph("outer", json!([{ "id": "c", "definition": "inner" }, { "id": "d", "tool": "echo", "input": { "n": 3 }, "needs": ["c"] }])).await
}

/// What is stored of each run of the tree.
async fn stored(app: &App, path: &str) -> BTreeMap<String, Vec<Value>> {
    let tree = app.acme.owner.get(&format!("{path}/tree")).await.expect(200);
    let mut stored = BTreeMap::new();
    for run in tree["data"].as_array().unwrap() {
        let id = run["id"].as_str().unwrap();
        let events = app.acme.owner.get(&format!("/v1/task-runs/{id}/events")).await.expect(200);
        stored.insert(id.to_owned(), events["data"].as_array().unwrap().clone());
    }
    stored
}

fn by_run<'a>(events: impl Iterator<Item = &'a Value>) -> BTreeMap<String, Vec<Value>> {
    let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events {
        runs.entry(event["runId"].as_str().unwrap().to_owned()).or_default().push(event.clone());
    }
    runs
}

on_both! {
    async fn a_tree_is_one_timeline_that_goes_on_behind_each_event(app: App) {
        let owner = &app.acme.owner;
        let graph = nested(&app.acme).await;
        let run = app.acme.run_of(&graph, json!({})).await;
        assert_eq!(run["status"], "COMPLETED", "{run}");
        let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
        let events = format!("{path}/events?children=true");
        let all = EventStream::open(owner, &events, None).await.rest().await;
        let stored = stored(&app, &path).await;
        assert_eq!(stored.len(), 5);
        assert_eq!(by_run(all.iter().map(|sent| &sent.data)), stored, "all of each run, in its order");
        let is_of = |sent: &Sent, kind: &str| sent.event == kind && sent.data["runId"] == run["id"];
        assert!(is_of(&all[0], "run.created") && is_of(all.last().unwrap(), "run.completed"), "{all:?}");

        // Behind each event comes what came behind it, in both forms.
        for (at, sent) in all.iter().enumerate() {
            let id = sent.id.as_deref().unwrap();
            assert_eq!(EventStream::open(owner, &events, Some(id)).await.rest().await, all[at + 1..], "{id}");
            let page = owner.get(&format!("{events}&cursor={id}")).await.expect(200);
            let rest: Vec<_> = all[at + 1..].iter().map(|sent| sent.data.clone()).collect();
            assert_eq!(page["data"], json!(rest), "{id}");
            assert_eq!(page["hasMore"], false);
        }
        // Pages lead through it.
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = owner.get(&format!("{events}&limit=4{cursor}")).await.expect(200);
            paged.extend(page["data"].as_array().unwrap().clone());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, all.iter().map(|sent| sent.data.clone()).collect::<Vec<_>>());
        // Types narrow it, and a part of the tree is a tree.
        let ends = EventStream::open(owner, &format!("{events}&types=run.completed"), None).await.rest().await;
        assert_eq!(ends.len(), 5);
        let (_, inner) = app.acme.children(&run).await.into_iter().find(|(key, _)| key == "c").unwrap();
        let below = format!("/v1/task-runs/{}/events?children=true&types=run.completed", inner["id"].as_str().unwrap());
        assert_eq!(EventStream::open(owner, &below, None).await.rest().await.len(), 3);
    }

    async fn a_live_tree_is_followed_until_all_of_it_has_ended(app: App) {
        let server = ModelServer::start(|_| Reply::Held(frames("word", &[])[1..].to_vec()));
        app.acme.model_agent("held", &server, json!({})).await;
        app.acme.builtin("echo", "builtin/echo").await;
        let steps = json!([{ "id": "talk", "agent": "held", "input": "x" }, { "id": "after", "tool": "echo", "input": { "n": 1 }, "needs": ["talk"] }]);
        let graph = app.acme.graph("live", steps).await;
        let path = app.acme.create(json!({ "definitionId": graph, "input": {} })).await;
        let events = format!("{path}/events?children=true");
        let mut stream = EventStream::open(&app.acme.owner, &events, None).await;
        let mut all = stream.until(|sent| sent.event == "model.delta").await;
        server.release();
        // Cut off here, and gone on elsewhere.
        drop(stream);
        let place = all.last().unwrap().id.clone();
        all.extend(EventStream::open(&app.acme.owner, &events, place.as_deref()).await.rest().await);
        let stored = stored(&app, &path).await;
        assert_eq!(stored.len(), 3);
        assert_eq!(by_run(all.iter().map(|sent| &sent.data)), stored);
    }

    async fn what_is_no_place_in_a_tree_is_refused(app: App) {
        let graph = nested(&app.acme).await;
        let run = app.acme.run_of(&graph, json!({})).await;
        let path = format!("/v1/task-runs/{}/events?children=true", run["id"].as_str().unwrap());
        for wrong in ["&after=1", "&cursor=1", "&cursor=x-y-z", "&cursor=-1-0-0"] {
            let answer = app.acme.owner.get(&format!("{path}{wrong}")).await;
            assert_eq!(answer.problem(422), "invalid", "{wrong}");
        }
        let request = app.acme.owner.request("GET", &path).header("accept", "text/event-stream");
        assert_eq!(app.acme.owner.send(request.header("last-event-id", "7")).await.problem(422), "invalid");
        for accept in ["application/json", "text/event-stream"] {
            let request = app.rival.owner.request("GET", &path).header("accept", accept);
            assert_eq!(app.rival.owner.send(request).await.problem(404), "not_found");
        }
    }
}
