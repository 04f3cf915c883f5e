//! Who is alive, and the times of attempts that no node watches.

use std::time::Duration;

use serde_json::json;

use super::{create, key, kinds, run_of};
use crate::support::eventually;
use crate::support::workers::{Lease, Worker};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

on_both! {
    leasing;

    async fn a_worker_is_alive_when_it_beats_and_asks(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("l", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:l"], 1).await;
        assert_eq!(worker.status().await, "OFFLINE");
        worker.claim(1).await;
        assert_eq!(worker.status().await, "ONLINE");
        for _ in 0..4 {
            app.core.clock.advance(seconds(25));
            worker.beat(&[]).await;
        }
        assert_eq!(worker.status().await, "OFFLINE", "it beats, and its loop hangs");
        let run = create(&client, &definition, json!({})).await;
        assert_eq!(run_of(&client, &run).await["reason"], "NO_WORKER");
        let list = client.get("/v1/task-runs?status=PENDING").await.expect(200);
        assert_eq!(list["data"][0]["reason"], "NO_WORKER");
        let lease = worker.take().await;
        for _ in 0..8 {
            app.core.clock.advance(seconds(25));
            assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "OK");
        }
        assert_eq!(worker.status().await, "ONLINE", "it has no slot free to ask for");
        worker.complete(&lease, json!(1)).await;
        app.core.clock.advance(seconds(100));
        assert_eq!(worker.status().await, "OFFLINE");
        app.core.clock.advance(seconds(7 * 86_400));
        eventually("it is forgotten", async || client.get(&worker.path).await.status == 404).await;
    }

    async fn a_cancel_is_told_at_the_heartbeat(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("c", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:c"], 4).await;
        let ends = [
            ("release", json!({}), "CANCELLED"),
            ("fail", json!({ "error": { "type": "stopped", "message": "As asked." } }), "CANCELLED"),
            ("fail", json!({ "error": { "type": "stopped", "message": "As asked.", "retryable": false } }), "CANCELLED"),
            ("complete", json!({ "output": "it was done" }), "COMPLETED"),
        ];
        for (verb, body, status) in ends {
            let run = create(&client, &definition, json!({})).await;
            let lease = worker.take().await;
            assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "OK");
            client.post(&format!("/v1/task-runs/{run}/cancel"), json!({})).await.expect(202);
            assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "CANCEL");
            let told = worker.call(&lease, "events", json!({ "events": [{ "clientSeq": 1, "type": "LOG" }] })).await.expect(200);
            assert_eq!(told["state"], "CANCEL");
            let ended = worker.call(&lease, verb, body.clone()).await.expect(200);
            assert_eq!(ended["run"]["status"], status, "{verb}");
            assert_eq!(worker.call(&lease, verb, body).await.status, 200, "told again");
        }
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        client.post(&format!("/v1/task-runs/{run}/cancel"), json!({})).await.expect(202);
        app.core.clock.advance(seconds(31));
        eventually("it is overruled", async || run_of(&client, &run).await["status"] == "CANCELLED").await;
        assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "LOST");
    }

    async fn an_attempt_that_takes_too_long_has_failed(app: App) {
        let client = key(&app).await;
        let retry = json!({ "retry": { "maxAttempts": 2, "baseMs": 0, "capMs": 0 } });
        let definition = app.acme.remote("late", json!({ "timeoutSeconds": 50 }), retry).await;
        let worker = Worker::register(&client, "w", &["function:late"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        for attempt in [1, 2] {
            let lease = worker.take().await;
            assert_eq!(lease.attempt, attempt);
            app.core.clock.advance(seconds(30));
            assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "OK");
            app.core.clock.advance(seconds(30));
            eventually("the attempt has failed", async || worker.beat(&[&lease]).await["leases"][0]["state"] == "LOST").await;
            assert_eq!(worker.call(&lease, "complete", json!({ "output": 1 })).await.problem(409), "lease_lost");
        }
        let run_now = run_of(&client, &run).await;
        assert_eq!((&run_now["status"], &run_now["error"]["code"]), (&json!("FAILED"), &json!("timed_out")), "{run_now}");
    }

    async fn an_attempt_that_says_nothing_has_failed(app: App) {
        let client = key(&app).await;
        let config = json!({ "timeouts": { "noProgressSeconds": 40 }, "retry": { "maxAttempts": 1 } });
        let definition = app.acme.remote("silent", json!({}), config).await;
        let worker = Worker::register(&client, "w", &["function:silent"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        for (seq, percent) in [(1, 10), (2, 20), (3, 30)] {
            app.core.clock.advance(seconds(30));
            let event = json!({ "clientSeq": seq, "type": "PROGRESS", "data": { "percent": percent } });
            worker.call(&lease, "events", json!({ "events": [event] })).await.expect(200);
            worker.beat(&[&lease]).await;
        }
        app.core.clock.advance(seconds(41));
        eventually("it has failed", async || run_of(&client, &run).await["status"] == "FAILED").await;
        assert_eq!(run_of(&client, &run).await["error"]["code"], "stalled");
        assert!(kinds(&client, &run).await.contains(&"attempt.progress".to_owned()));
    }

    async fn an_attempt_may_wait(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("wait", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:wait"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        for (pointer, wait) in [
            ("/wait/seconds", json!({ "kind": "TIMER" })),
            ("/wait/proposal", json!({ "kind": "APPROVAL" })),
            ("/wait/question", json!({ "kind": "USER_INPUT", "schema": {} })),
            ("/wait/schema", json!({ "kind": "USER_INPUT", "question": "?", "schema": { "type": "nothing" } })),
            ("/wait/key", json!({ "kind": "EXTERNAL_EVENT" })),
        ] {
            let refused = worker.call(&lease, "suspend", json!({ "wait": wait })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer);
            refused.problem(422);
        }
        let timer = json!({ "wait": { "kind": "TIMER", "seconds": 100 } });
        for _ in 0..2 {
            let waiting = worker.call(&lease, "suspend", timer.clone()).await.expect(200);
            assert_eq!((&waiting["run"]["status"], &waiting["run"]["reason"]), (&json!("WAITING"), &json!("TIMER")));
        }
        let other = create(&client, &definition, json!({})).await;
        let free = worker.take().await;
        assert_eq!(free.run, other, "it holds no slot");
        worker.complete(&free, json!(1)).await;
        app.core.clock.advance(seconds(100));
        let lease = worker.take().await;
        assert_eq!(lease.run, run);
        let ask = json!({ "wait": { "kind": "APPROVAL", "proposal": { "refund": 5 } } });
        let waiting = worker.call(&lease, "suspend", ask).await.expect(200);
        assert_eq!(waiting["run"]["reason"], "APPROVAL");
        let asked = client.get(&format!("/v1/approvals?runId={run}")).await.expect(200)["data"][0].clone();
        assert_eq!(asked["proposal"], json!({ "refund": 5 }));
        let path = format!("/v1/approvals/{}/decide", asked["id"].as_str().unwrap());
        client.post(&path, json!({ "decision": "APPROVE" })).await.expect(200);
        let lease = worker.take().await;
        assert_eq!((&lease.run, &lease.item["approvals"][0]["status"]), (&run, &json!("APPROVED")));
        assert_eq!(worker.complete(&lease, json!(2)).await["status"], "COMPLETED");
    }

    async fn an_attempt_may_ask_and_wait_for_events(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("ask", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:ask"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let other = create(&client, &definition, json!({})).await;
        let schema = json!({ "type": "object", "required": ["ship"] });
        let ask = json!({ "wait": { "kind": "USER_INPUT", "question": "Ship it?", "schema": schema }, "claimNext": true });
        let lease = worker.take().await;
        let waiting = worker.call(&lease, "suspend", ask).await.expect(200);
        assert_eq!((&waiting["run"]["status"], &waiting["run"]["reason"]), (&json!("WAITING"), &json!("USER_INPUT")));
        let next = Lease::of(&waiting["next"]);
        assert_eq!(next.run, other, "it holds no slot");
        let back = worker.call(&next, "release", json!({ "claimNext": true })).await.expect(200);
        let next = Lease::of(&back["next"]);
        assert_eq!(next.run, other);
        worker.complete(&next, json!(1)).await;

        let input = format!("/v1/task-runs/{run}/input");
        client.post(&input, json!({ "answer": {} })).await.problem(422);
        client.post(&input, json!({ "answer": { "ship": true } })).await.expect(200);
        let lease = worker.take().await;
        let told = &lease.item["waits"][0];
        assert_eq!((&told["status"], &told["answer"]), (&json!("SATISFIED"), &json!({ "answer": { "ship": true } })));

        let event = json!({ "wait": { "kind": "EXTERNAL_EVENT", "key": "parcel-1", "expiresInSeconds": 60 } });
        worker.call(&lease, "suspend", event.clone()).await.expect(200);
        let came = json!({ "type": "parcel.came", "data": { "at": "door" }, "correlationKey": "parcel-1" });
        app.rival.owner.post("/v1/events", came.clone()).await.expect(201);
        assert!(worker.claim(1).await.is_empty(), "another tenant's event satisfies nothing here");
        assert_eq!(app.acme.owner.post("/v1/events", came).await.expect(201)["resumed"], 1);
        let lease = worker.take().await;
        let told = &lease.item["waits"][1];
        assert_eq!((&told["status"], &told["answer"]["data"]), (&json!("SATISFIED"), &json!({ "at": "door" })));

        worker.call(&lease, "suspend", event).await.expect(200);
        app.core.clock.advance(seconds(61));
        let lease = worker.take().await;
        assert_eq!((&lease.item["waits"][2]["status"], &lease.item["waits"][2]["answer"]), (&json!("EXPIRED"), &json!(null)));
        assert_eq!(worker.complete(&lease, json!(2)).await["status"], "COMPLETED");
    }
}
