//! What a worker reports, and how its attempts end.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{create, key, kinds, run_of, steps};
use crate::support::workers::Worker;

fn cost(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

on_both! {
    async fn an_answer_that_was_lost_is_given_again(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("again", json!({}), json!({ "retry": { "baseMs": 0, "capMs": 0 } })).await;
        let worker = Worker::register(&client, "w", &["function:again"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        let error = json!({ "error": { "type": "flaky", "message": "Not now." } });
        for _ in 0..2 {
            let ended = worker.call(&lease, "fail", error.clone()).await.expect(200);
            assert_eq!((&ended["run"]["status"], &ended["run"]["reason"]), (&json!("PENDING"), &json!("RETRY_BACKOFF")));
        }
        let second = worker.take().await;
        assert_eq!(second.attempt, 2);
        // Also once somebody else goes on with the run.
        assert_eq!(worker.call(&lease, "fail", error).await.expect(200)["run"]["status"], "RUNNING");
        let other = json!({ "error": { "type": "flaky", "message": "Something else." } });
        assert_eq!(worker.call(&lease, "fail", other).await.problem(409), "lease_lost");
        let complete = json!({ "output": { "a": 1 } });
        let first = worker.call(&second, "complete", complete.clone()).await.expect(200);
        let events = kinds(&client, &run).await;
        assert_eq!(worker.call(&second, "complete", complete).await.expect(200), first);
        assert_eq!(kinds(&client, &run).await, events, "nothing is written twice");
        assert_eq!(worker.call(&second, "complete", json!({ "output": 2 })).await.problem(409), "lease_lost");
        assert_eq!(worker.call(&second, "release", json!({})).await.problem(409), "lease_lost");
    }

    async fn a_released_run_consumes_no_attempt(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("back", json!({}), json!({ "retry": { "maxAttempts": 1 } })).await;
        let worker = Worker::register(&client, "w", &["function:back"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        for _ in 0..3 {
            let lease = worker.take().await;
            assert_eq!((&lease.run, lease.attempt), (&run, 1));
            let back = worker.call(&lease, "release", json!({})).await.expect(200);
            assert_eq!((&back["run"]["status"], &back["run"]["attempt"]), (&json!("PENDING"), &json!(0)));
        }
        let lease = worker.take().await;
        assert_eq!(worker.complete(&lease, json!(1)).await["attempt"], 1);
    }

    async fn a_call_that_was_given_back_is_made_by_another(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("careful", json!({ "sideEffect": "ONCE", "costPerCall": "1" }), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:careful"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        worker.call(&lease, "release", json!({})).await.expect(200);
        let lease = worker.take().await;
        assert_eq!(lease.item["tool"]["effectKey"], json!(format!("{run}:1:0")), "nobody had to be asked");
        assert_eq!(worker.complete(&lease, json!(1)).await["cost"], "1");
        let states: Vec<_> = steps(&client, &run).await.iter().map(|step| step["status"].clone()).collect();
        assert_eq!(states, [json!("FAILED"), json!("COMPLETED")]);
    }

    async fn the_output_has_to_fit(app: App) {
        let client = key(&app).await;
        let schema = json!({ "type": "object", "required": ["path"], "properties": { "path": { "type": "string" } } });
        let definition = app.acme.remote("fit", json!({}), json!({ "outputSchema": schema })).await;
        let agent = app.acme.agent("fit", json!({ "delivery": "WORKER", "outputSchema": schema })).await;
        let worker = Worker::register(&client, "w", &["function:fit", "agent:fit"], 1).await;
        for body in [json!({ "definitionId": definition, "input": {} }), json!({ "agentId": agent, "input": "x" })] {
            client.post("/v1/task-runs", body).await.expect(201);
            let lease = worker.take().await;
            let refused = worker.call(&lease, "complete", json!({ "output": { "path": 1 } })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], "/output/path", "{}", refused.text);
            refused.problem(422);
            assert!(kinds(&client, &lease.run).await.contains(&"output.refused".to_owned()));
            assert_eq!(worker.complete(&lease, json!({ "path": "a" })).await["status"], "COMPLETED");
        }
    }

    async fn what_was_used_is_paid_as_steps(app: App) {
        let client = key(&app).await;
        let agent = app.acme.agent("used", json!({ "delivery": "WORKER", "model": "gpt-4o-mini", "costPerRun": "0.01" })).await;
        let worker = Worker::register(&client, "w", &["agent:used"], 2).await;
        client.post("/v1/task-runs", json!({ "agentId": agent, "input": "x" })).await.expect(201);
        let lease = worker.take().await;
        assert_eq!(lease.item["agent"]["model"], Value::Null, "the config is the snapshot's");
        assert_eq!(lease.item["agent"]["config"]["model"], "gpt-4o-mini");
        let events = json!([
            { "clientSeq": 1, "type": "LOG", "data": { "message": "Begun." } },
            { "clientSeq": 2, "type": "USAGE", "data": { "input": 1_000_000, "output": 1_000_000 } },
            { "clientSeq": 3, "type": "STEP", "data": { "name": "think", "response": { "text": "a" },
                "usage": { "model": "gpt-4o-mini", "input": 1_000_000 }, "latencyMs": 5 } },
            { "clientSeq": 4, "type": "TOOL_CALL", "data": { "name": "look", "callId": "c1", "arguments": { "q": 1 },
                "output": 2, "cost": "0.5" } },
            { "clientSeq": 5, "type": "TOOL_CALL", "data": { "name": "look", "error": { "code": "none", "message": "No." } } },
            { "clientSeq": 6, "type": "delta", "data": { "text": "An" } },
            { "clientSeq": 7, "type": "USAGE", "data": { "model": "nobody/knows-it", "input": 1 } },
        ]);
        let told = worker.call(&lease, "events", json!({ "events": events })).await.expect(200);
        assert_eq!((&told["lastClientSeq"], &told["state"]), (&json!(7), &json!("OK")));
        // Again, and overlapping: each is taken in once.
        worker.call(&lease, "events", json!({ "events": events })).await.expect(200);
        let more = json!([{ "clientSeq": 7, "type": "USAGE", "data": { "cost": "9" } }, { "clientSeq": 8, "type": "LOG" }]);
        assert_eq!(worker.call(&lease, "events", json!({ "events": more })).await.expect(200)["lastClientSeq"], 8);
        let usage = json!({ "cost": "0.25", "output": 10 });
        let ended = worker.call(&lease, "complete", json!({ "output": "An answer.", "usage": usage })).await.expect(200);
        let run = &ended["run"];
        let journal = steps(&client, &lease.run).await;
        let sum: f64 = journal.iter().map(|step| cost(&step["cost"])).sum();
        assert_eq!(journal.len(), 6, "{journal:#?}");
        assert!((cost(&run["cost"]) - sum).abs() < 1e-9, "{run}");
        // 0.15 and 0.60 USD a million: 0.75 + 0.15 + 0.5 + 0.25, and the flat charge once.
        assert!((sum - 1.66).abs() < 1e-9, "{sum}");
        assert_eq!((&run["unpriced"], &run["tokensUsed"]["input"]), (&json!(true), &json!(2_000_001)));
        assert_eq!(journal[2]["request"], json!({ "arguments": { "q": 1 } }));
        assert_eq!((&journal[3]["status"], &journal[3]["kind"]), (&json!("FAILED"), &json!("TOOL")));
    }

    async fn calls_that_overtake_each_other_lose_no_cost(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("race", json!({ "costPerCall": "0.001" }), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:race"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        let batch = |seq: i64| {
            let event = json!({ "clientSeq": seq, "type": "USAGE", "data": { "cost": "0.01" } });
            worker.call(&lease, "events", json!({ "events": [event] }))
        };
        for answer in join_all((1..=6).map(batch)).await {
            assert!([200, 409].contains(&answer.status), "{}", answer.text);
        }
        worker.call(&lease, "complete", json!({ "output": 1, "usage": { "cost": "0.1" } })).await.expect(200);
        let journal = steps(&client, &run).await;
        let numbers: Vec<_> = journal.iter().map(|step| step["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=u64::try_from(journal.len()).unwrap()).collect::<Vec<_>>());
        let sum: f64 = journal.iter().map(|step| cost(&step["cost"])).sum();
        assert!((cost(&run_of(&client, &run).await["cost"]) - sum).abs() < 1e-9);
    }

    async fn events_are_checked(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("bad", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:bad"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        let before = kinds(&client, &run).await;
        let good = json!({ "clientSeq": 1, "type": "LOG" });
        for (pointer, event) in [
            ("/events/1/clientSeq", json!({ "clientSeq": 1, "type": "LOG" })),
            ("/events/1/clientSeq", json!({ "clientSeq": 0, "type": "LOG" })),
            ("/events/1/type", json!({ "clientSeq": 2, "type": "STORY" })),
            ("/events/1/data", json!({ "clientSeq": 2, "type": "DELTA", "data": {} })),
            ("/events/1/data", json!({ "clientSeq": 2, "type": "DELTA", "data": { "text": 1 } })),
            ("/events/1/data", json!({ "clientSeq": 2, "type": "USAGE", "data": { "input": -1 } })),
            ("/events/1/data", json!({ "clientSeq": 2, "type": "STEP", "data": { "name": "" } })),
            ("/events/1/data/cost", json!({ "clientSeq": 2, "type": "TOOL_CALL", "data": { "name": "a", "cost": "-1" } })),
            ("/events/1/data", json!({ "clientSeq": 2, "type": "LOG", "data": { "message": "x".repeat(70_000) } })),
        ] {
            let refused = worker.call(&lease, "events", json!({ "events": [good, event] })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{event}: {}", refused.text);
            refused.problem(422);
        }
        assert_eq!(kinds(&client, &run).await, before, "nothing of a refused call is kept");
    }

    async fn keys_of_calls_are_honoured(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("once", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:once"], 5).await;
        create(&client, &definition, json!({})).await;
        create(&client, &definition, json!({})).await;
        let path = format!("{}/claim", worker.path);
        let first = client.post_once(&path, "claim-1", json!({ "max": 1 })).await.expect(200);
        let again = client.post_once(&path, "claim-1", json!({ "max": 1 })).await.expect(200);
        assert_eq!((&first, first["data"].as_array().unwrap().len()), (&again, 1));
        client.post_once(&path, "claim-1", json!({ "max": 2 })).await.problem(422);
    }
}
