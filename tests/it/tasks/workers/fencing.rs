//! Proof over HTTP: a worker whose lease is gone changes nothing: result, event, step, wait, cost.

use std::time::Duration;

use serde_json::{Value, json};

use super::{create, key, run_of, steps};
use crate::support::workers::{Lease, Worker};
use crate::support::{App, Client, eventually};

const MINUTE: Duration = Duration::from_secs(61);

/// Every call that writes, each of a kind of its own.
fn writes() -> Vec<(&'static str, Value)> {
    let usage = json!({ "model": "gpt-4o-mini", "input": 1_000, "output": 1_000, "cost": "1" });
    let event =
        |kind: &str, data: Value| json!({ "events": [{ "clientSeq": 1, "type": kind, "data": data }] });
    vec![
        ("events", event("LOG", json!({ "message": "stale" }))),
        ("events", event("PROGRESS", json!({ "percent": 1 }))),
        ("events", event("DELTA", json!({ "text": "stale" }))),
        ("events", event("USAGE", usage.clone())),
        ("events", event("STEP", json!({ "name": "stale", "response": 1, "usage": usage }))),
        ("events", event("TOOL_CALL", json!({ "name": "stale", "cost": "1" }))),
        ("complete", json!({ "output": "stale" })),
        ("complete", json!({ "output": "stale", "usage": usage })),
        ("fail", json!({ "error": { "type": "stale", "message": "stale" } })),
        (
            "fail",
            json!({ "error": { "type": "stale", "message": "stale", "retryable": false }, "usage": usage }),
        ),
        ("suspend", json!({ "wait": { "kind": "TIMER", "seconds": 60 } })),
        ("release", json!({})),
    ]
}

/// All that callers see of a run.
async fn seen(client: &Client, run: &str) -> (Value, Vec<Value>, Value) {
    let events = client.get(&format!("/v1/task-runs/{run}/events")).await.expect(200);
    (run_of(client, run).await, steps(client, run).await, events)
}

async fn stale_calls(app: &App) -> u64 {
    let text = app.anyone().get("/metrics").await.text;
    let counts = text.lines().filter(|line| line.starts_with("worker_stale_calls_total"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Tries all writes; none is accepted, and nothing of the run is different.
async fn refused(client: &Client, worker: &Worker, lease: &Lease) -> u64 {
    let before = seen(client, &lease.run).await;
    for (verb, body) in writes() {
        let code = worker.call(lease, verb, body.clone()).await.problem(409);
        assert_eq!(code, "lease_lost", "{verb} {body}");
    }
    assert_eq!(worker.beat(&[lease]).await["leases"][0]["state"], "LOST");
    assert_eq!(seen(client, &lease.run).await, before);
    u64::try_from(writes().len()).unwrap() + 1
}

on_both! {
    leasing;

    async fn a_lease_that_is_gone_changes_nothing(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("f", json!({}), json!({ "retry": { "maxAttempts": 9 } })).await;
        let worker = Worker::register(&client, "sleeper", &["function:f"], 9).await;
        let other = Worker::register(&client, "awake", &["function:f"], 9).await;
        let run = create(&client, &definition, json!({})).await;
        let first = worker.take().await;
        let counted = stale_calls(&app).await;
        let mut tried = 0;

        // Another's token, another attempt's number, another run, a token that was never given out.
        let second = create(&client, &definition, json!({})).await;
        let own = other.take().await;
        assert_eq!(own.run, second);
        let mut forged = first.token.clone();
        let last = forged.pop().unwrap();
        forged.push(if last == 'A' { 'B' } else { 'A' });
        for stale in [
            Lease { token: own.token.clone(), ..first.clone() },
            Lease { attempt: 2, ..first.clone() },
            Lease { run: own.run.clone(), ..first.clone() },
            Lease { token: forged, ..first.clone() },
            Lease { token: "mc_lt_".to_owned(), ..first.clone() },
        ] {
            tried += refused(&client, &worker, &stale).await;
        }
        // By time alone, then queued again, then claimed by another.
        app.core.clock.advance(MINUTE);
        eventually("the lease is seen to be over", async || run_of(&client, &run).await["reason"] == "LEASE_LOST").await;
        tried += refused(&client, &worker, &first).await;
        let again = loop {
            let lease = other.take().await;
            if lease.run == run {
                break lease;
            }
        };
        assert_eq!(again.attempt, 2);
        tried += refused(&client, &worker, &first).await;
        assert_eq!(other.complete(&again, json!("fresh")).await["output"], "fresh");
        tried += refused(&client, &worker, &first).await;
        assert!(tried > 100, "{tried}");
        // Heartbeats and calls of tests beside this one are counted too.
        assert!(stale_calls(&app).await >= counted + tried);
        assert_eq!(run_of(&client, &run).await["cost"], "0");
    }

    async fn a_vanished_workers_run_is_executed_by_another(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("v", json!({}), json!({})).await;
        let dead = Worker::register(&client, "dead", &["function:v"], 1).await;
        let run = create(&client, &definition, json!({ "a": 1 })).await;
        let lease = dead.take().await;
        let event = json!({ "events": [{ "clientSeq": 1, "type": "STEP", "data": { "name": "half", "response": { "done": 1 } } }] });
        dead.call(&lease, "events", event).await.expect(200);
        let heir = Worker::register(&client, "heir", &["function:v"], 1).await;
        assert!(heir.claim(1).await.is_empty());
        app.core.clock.advance(Duration::from_secs(30));
        assert_eq!(dead.beat(&[&lease]).await["leases"][0]["state"], "OK");
        app.core.clock.advance(Duration::from_secs(45));
        assert!(heir.claim(1).await.is_empty(), "the heartbeat renewed it");
        app.core.clock.advance(MINUTE);
        let lease = heir.take().await;
        assert_eq!((&lease.run, lease.attempt), (&run, 2));
        assert_eq!(lease.item["journal"][0]["response"], json!({ "done": 1 }));
        assert_eq!(heir.complete(&lease, json!(2)).await["status"], "COMPLETED");
    }

    async fn an_effect_that_may_have_happened_is_not_repeated(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("charge", json!({ "sideEffect": "ONCE" }), json!({})).await;
        let dead = Worker::register(&client, "dead", &["function:charge"], 1).await;
        let run = create(&client, &definition, json!({ "amount": 1 })).await;
        dead.take().await;
        let intent = &steps(&client, &run).await[0];
        assert_eq!((&intent["status"], &intent["effectKey"]), (&json!("STARTED"), &json!(format!("{run}:1:0"))));
        app.core.clock.advance(MINUTE);
        let heir = Worker::register(&client, "heir", &["function:charge"], 1).await;
        eventually("somebody is asked", async || {
            assert!(heir.claim(1).await.is_empty(), "it is not given out again");
            run_of(&client, &run).await["reason"] == "NEEDS_REVIEW"
        })
        .await;
        let asked = client.get(&format!("/v1/approvals?runId={run}")).await.expect(200)["data"][0].clone();
        let path = format!("/v1/approvals/{}/decide", asked["id"].as_str().unwrap());
        client.post(&path, json!({ "decision": "APPROVE" })).await.expect(200);
        let lease = heir.take().await;
        assert_eq!(lease.item["tool"]["effectKey"], json!(format!("{run}:1:0")), "the same key");
        assert_eq!(heir.complete(&lease, json!("paid")).await["status"], "COMPLETED");
        let journal = steps(&client, &run).await;
        let states: Vec<_> = journal.iter().map(|step| step["status"].as_str().unwrap()).collect();
        assert_eq!(states, ["FAILED", "COMPLETED"]);
    }

    async fn a_run_that_loses_its_workers_fails(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("poison", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:poison"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        for _ in 0..3 {
            worker.take().await;
            app.core.clock.advance(MINUTE);
        }
        eventually("it fails", async || run_of(&client, &run).await["reason"] == "WORKER_LOST").await;
    }
}
