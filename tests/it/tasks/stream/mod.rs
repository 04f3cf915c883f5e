//! `/v1/stream`: what happens in all runs.

mod nodes;
mod places;
mod sight;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::App;
use crate::support::event_stream::{EventStream, Sent};

/// Whose event it is.
fn run(event: &Value) -> &str {
    event["runId"].as_str().unwrap()
}

fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

/// Whether this ends the run.
fn ends(sent: &Sent, run: &Value) -> bool {
    sent.event == "run.completed" && sent.data["runId"] == run["id"]
}

/// The run's own timeline.
async fn timeline(app: &App, run: &str) -> Vec<(i64, String)> {
    let page = app.acme.owner.get(&format!("/v1/task-runs/{run}/events")).await.expect(200);
    page["data"].as_array().unwrap().iter().map(numbered).collect()
}

fn numbered(event: &Value) -> (i64, String) {
    (event["seq"].as_i64().unwrap(), event["type"].as_str().unwrap().to_owned())
}

on_both! {
    async fn all_runs_are_followed_in_the_order_of_their_events(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let mut stream = EventStream::open(&app.acme.owner, "/v1/stream", None).await;
        let start = stream.next().await.unwrap();
        assert!(start.event.is_empty() && start.id.is_some(), "who is cut off before the first event goes on: {start:?}");
        let runs = (0..24).map(|n| app.acme.run(json!({ "agentId": agent, "input": n.to_string() })));
        let runs: BTreeSet<String> = futures_util::future::join_all(runs).await.iter().map(|run| id(run).to_owned()).collect();
        let last = app.acme.run(json!({ "agentId": agent, "input": "last" })).await;
        let all = stream.until(|sent| ends(sent, &last)).await;
        let mut seen: BTreeMap<&str, Vec<(i64, String)>> = BTreeMap::new();
        for sent in &all {
            assert_eq!((sent.data["type"].as_str(), sent.data["agentId"].as_str()), (Some(&sent.event[..]), Some(&agent[..])));
            seen.entry(run(&sent.data)).or_default().push(numbered(&sent.data));
        }
        assert_eq!(seen.len(), runs.len() + 1);
        for (run, events) in &seen {
            assert_eq!(*events, timeline(&app, run).await, "each event of a run once, in its order");
        }
        let ids: BTreeSet<_> = all.iter().map(|sent| sent.id.clone().unwrap()).collect();
        assert_eq!(ids.len(), all.len(), "each has an id of its own");

        // What the stream says of the status is what the run became.
        let statuses = |wanted: &str| all.iter().filter(|sent| sent.data["status"] == wanted).count();
        assert_eq!([statuses("PENDING"), statuses("RUNNING"), statuses("COMPLETED")], [25, 25, 25]);

        // Behind each event comes what came behind it.
        let resumed = [None].into_iter().chain(all.iter().map(Some)).enumerate();
        for (at, sent) in resumed {
            let place = sent.map_or(&start, |sent| sent).id.as_deref().unwrap();
            let page = app.acme.owner.get(&format!("/v1/stream?after={place}&limit=200")).await.expect(200);
            let rest: Vec<_> = all[at..].iter().take(200).map(|sent| sent.data.clone()).collect();
            assert_eq!(page["data"], json!(rest), "{place}");
            assert_eq!(page["gap"], Value::Null);
        }
        let middle = all[all.len() / 2].id.as_deref();
        let mut again = EventStream::open(&app.acme.owner, "/v1/stream?types=run.completed", middle).await;
        let rest = again.until(|sent| ends(sent, &last)).await;
        let expected: Vec<_> = all[all.len() / 2 + 1..].iter().filter(|sent| sent.event == "run.completed").cloned().collect();
        assert_eq!(rest, expected);
    }

    async fn pages_lead_on_and_the_newest_come_without_a_place(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let nothing = app.acme.owner.get("/v1/stream").await.expect(200);
        assert_eq!((&nothing["data"], &nothing["hasMore"]), (&json!([]), &json!(false)));
        let run = app.acme.run(json!({ "agentId": agent, "input": "x" })).await;
        let expected = timeline(&app, id(&run)).await;
        let (mut found, mut next) = (Vec::new(), nothing["next"].as_str().unwrap().to_owned());
        while found.len() < expected.len() {
            let page = app.acme.owner.get(&format!("/v1/stream?after={next}&limit=2")).await.expect(200);
            found.extend(page["data"].as_array().unwrap().iter().map(numbered));
            next = page["next"].as_str().unwrap().to_owned();
        }
        assert_eq!(found, expected);
        let idle = app.acme.owner.get(&format!("/v1/stream?after={next}")).await.expect(200);
        assert_eq!(idle["data"], json!([]));
        let newest = app.acme.owner.get("/v1/stream?limit=2").await.expect(200);
        let newest: Vec<_> = newest["data"].as_array().unwrap().iter().map(numbered).collect();
        assert_eq!(newest, expected[expected.len() - 2..]);
        for wrong in ["after=x", "after=1-2", "after=1-2--3"] {
            assert_eq!(app.acme.owner.get(&format!("/v1/stream?{wrong}")).await.problem(422), "invalid", "{wrong}");
        }
    }
}
