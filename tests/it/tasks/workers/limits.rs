//! What holds for nodes holds for workers: keys, trees, stops.

use serde_json::{Value, json};

use super::{create, key, run_of, steps};
use crate::support::eventually;
use crate::support::workers::Worker;

on_both! {
    async fn a_full_key_is_passed_over(app: App) {
        let client = key(&app).await;
        let config = json!({ "concurrency": { "key": "{{ input.customer }}", "limit": 1, "strategy": "QUEUE" } });
        let definition = app.acme.remote("keyed", json!({}), config).await;
        for customer in ["a", "a", "a", "b", "b", "c"] {
            create(&client, &definition, json!({ "customer": customer })).await;
        }
        let [one, two] = [
            Worker::register(&client, "one", &["function:keyed"], 9).await,
            Worker::register(&client, "two", &["function:keyed"], 9).await,
        ];
        let mut held = one.claim(9).await;
        let mut customers: Vec<&str> = held.iter().map(|lease| lease.item["run"]["input"]["customer"].as_str().unwrap()).collect();
        customers.sort_unstable();
        assert_eq!(customers, ["a", "b", "c"]);
        assert!(two.claim(9).await.is_empty(), "the limits hold over all workers");
        held.retain(|lease| lease.item["run"]["input"]["customer"] == "a");
        one.complete(&held[0], json!(1)).await;
        let next = two.claim(9).await;
        assert_eq!((next.len(), &next[0].item["run"]["input"]["customer"]), (1, &json!("a")));
    }

    async fn a_step_of_a_graph_is_a_workers(app: App) {
        let client = key(&app).await;
        app.acme.function("remote_step", json!({ "costPerCall": "0.001" })).await;
        let steps = json!([{ "id": "a", "tool": "remote_step", "input": { "n": "{{ input.n }}" } }]);
        let graph = app.acme.definition("graph", json!({ "config": { "steps": steps } })).await;
        let worker = Worker::register(&client, "w", &["function:remote_step"], 1).await;
        let run = create(&client, &graph, json!({ "n": 7 })).await;
        let lease = worker.take().await;
        assert_eq!((&lease.item["run"]["parentRunId"], &lease.item["tool"]["arguments"]), (&json!(run), &json!({ "n": 7 })));
        worker.complete(&lease, json!({ "twice": 14 })).await;
        eventually("the graph has ended", async || run_of(&client, &run).await["status"] == "COMPLETED").await;
        let ended = run_of(&client, &run).await;
        assert_eq!(ended["treeCost"], json!("0.001"), "{ended}");
    }

    async fn an_agents_call_of_a_function_is_a_workers(app: App) {
        let client = key(&app).await;
        let tool = app.acme.function("remote_call", json!({ "costPerCall": "0.001" })).await;
        let agent = app.acme.agent("caller", json!({ "model": "mock/script" })).await;
        app.acme.owner.put(&format!("/v1/agents/{agent}/tools/{tool}"), json!({})).await.expect(200);
        let worker = Worker::register(&client, "w", &["function:remote_call"], 1).await;
        let call = json!({ "name": "remote_call", "arguments": { "n": 1 } });
        let input = json!({ "script": [{ "toolCalls": [call] }, { "text": "done" }] });
        let made = client.post("/v1/task-runs", json!({ "agentId": agent, "input": input })).await.expect(201);
        let run = made["id"].as_str().unwrap().to_owned();
        let lease = worker.take().await;
        assert_eq!(lease.item["tool"]["arguments"], json!({ "n": 1 }));
        worker.complete(&lease, json!("made")).await;
        eventually("the agent has ended", async || run_of(&client, &run).await["status"] == "COMPLETED").await;
        let ended = run_of(&client, &run).await;
        assert_eq!((&ended["output"], &ended["cost"]), (&json!("done"), &json!("0.0000114")), "{ended}");
        assert_eq!(ended["treeCost"], "0.0010114");
        let made: Vec<Value> = steps(&client, &run).await.into_iter().filter(|step| step["name"] == "remote_call").collect();
        assert_eq!((made.len(), &made[0]["response"]["output"]), (1, &json!("made")));
    }

    async fn a_parent_that_is_cancelled_takes_its_workers_with_it(app: App) {
        let client = key(&app).await;
        app.acme.function("held_step", json!({})).await;
        let steps = json!([{ "id": "a", "tool": "held_step" }]);
        let graph = app.acme.definition("graph", json!({ "config": { "steps": steps } })).await;
        let worker = Worker::register(&client, "w", &["function:held_step"], 1).await;
        let run = create(&client, &graph, json!({})).await;
        let lease = worker.take().await;
        client.post(&format!("/v1/task-runs/{run}/cancel"), json!({})).await.expect(200);
        eventually("it is told", async || worker.beat(&[&lease]).await["leases"][0]["state"] == "CANCEL").await;
        worker.call(&lease, "release", json!({})).await.expect(200);
        assert_eq!(run_of(&client, &lease.run).await["status"], "CANCELLED");
    }

    async fn an_emergency_stop_is_told_and_holds(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("stopped", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:stopped"], 2).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "OK");
        let path = "/v1/tenant/emergency-stop";
        app.acme.owner.post(path, json!({ "reason": "a drill" })).await.expect(200);
        assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "CANCEL");
        worker.call(&lease, "release", json!({})).await.expect(200);
        assert!(worker.claim(2).await.is_empty());
        app.acme.owner.post(&format!("{path}/release"), json!({})).await.expect(200);
        let again = worker.take().await;
        assert_eq!((&again.run, again.attempt), (&run, 1), "a release consumes no attempt");
    }

    async fn a_worker_of_a_suspended_tenant_ends_what_it_holds(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("last", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:last"], 2).await;
        for _ in 0..2 {
            create(&client, &definition, json!({})).await;
        }
        let lease = worker.take().await;
        let tenant = format!("/v1/tenants/{}", app.acme.id);
        app.admin.post(&format!("{tenant}/suspend"), json!({})).await.expect(200);
        eventually("it is known", async || client.post(&format!("{}/claim", worker.path), json!({})).await.status == 403).await;
        worker.beat(&[&lease]).await;
        let ended = worker.call(&lease, "complete", json!({ "output": 1, "claimNext": true })).await.expect(200);
        assert_eq!((&ended["run"]["status"], &ended["next"]), (&json!("COMPLETED"), &json!(null)));
    }
}
