//! Who is given which run, and when.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use service::db::Reason;

use super::{create, key, run_of};
use crate::support::eventually;
use crate::support::workers::{Lease, Worker};

on_both! {
    async fn a_function_runs_where_a_worker_offers_it(app: App) {
        let client = key(&app).await;
        let schema = json!({ "type": "object", "properties": { "width": { "type": "integer" } }, "required": ["width"] });
        let definition = app.acme.remote("resize", json!({ "schema": schema, "costPerCall": "0.002" }), json!({})).await;
        let run = create(&client, &definition, json!({ "width": 64 })).await;
        let waiting = run_of(&client, &run).await;
        assert_eq!((&waiting["status"], &waiting["reason"], &waiting["capability"]), (&json!("PENDING"), &json!("NO_WORKER"), &json!("function:resize")));
        let worker = Worker::register(&client, "images", &["function:resize"], 1).await;
        let lease = worker.take().await;
        assert_eq!(lease.run, run);
        let item = &lease.item;
        assert_eq!(item["tool"]["arguments"], json!({ "width": 64 }));
        assert_eq!(item["tool"]["effectKey"], json!(format!("{run}:1:0")));
        assert_eq!((&item["journal"], &item["run"]["workerId"]), (&json!([]), &json!(worker.id)));
        assert!(item["agent"].is_null() && item["leaseExpiresAt"].is_string() && item["deadline"].is_string());
        let ended = worker.complete(&lease, json!({ "path": "a.png" })).await;
        assert_eq!((&ended["status"], &ended["reason"], &ended["output"]), (&json!("COMPLETED"), &json!("OUTPUT"), &json!({ "path": "a.png" })));
        assert_eq!((&ended["cost"], &ended["workerId"]), (&json!("0.002"), &json!(null)));
        let kinds = super::kinds(&client, &run).await;
        assert_eq!(kinds, ["run.created", "run.started", "tool.called", "tool.completed", "run.completed"]);
        assert!(worker.claim(1).await.is_empty());
    }

    async fn a_tool_that_a_worker_serves_can_be_tried(app: App) {
        let client = key(&app).await;
        let tool = app.acme.function("shout", json!({})).await;
        let worker = Worker::register(&client, "shouter", &["function:shout"], 1).await;
        let path = format!("/v1/tools/{tool}/invoke");
        let invoked = client.post(&path, json!({ "arguments": { "say": "a" } }));
        let served = async {
            let lease = worker.take().await;
            worker.complete(&lease, json!("A")).await
        };
        let (invoked, _) = tokio::join!(invoked, served);
        let invoked = invoked.expect(200);
        assert_eq!((&invoked["status"], &invoked["output"]), (&json!("COMPLETED"), &json!("A")), "{invoked}");
    }

    async fn a_worker_is_given_what_it_offers(app: App) {
        let client = key(&app).await;
        let [a, b] = [app.acme.remote("a", json!({}), json!({})).await, app.acme.remote("b", json!({}), json!({})).await];
        let agent = app.acme.agent("remote", json!({ "delivery": "WORKER" })).await;
        let of_a = create(&client, &a, json!({})).await;
        let of_b = create(&client, &b, json!({})).await;
        let of_agent = client.post("/v1/task-runs", json!({ "agentId": agent, "input": "x" })).await.expect(201);
        assert_eq!(of_agent["capability"], "agent:remote");
        let nothing = Worker::register(&client, "none", &["function:c", "agent:a"], 9).await;
        assert!(nothing.claim(9).await.is_empty());
        let rivals = Worker::register(&app.rival.owner, "rival", &["function:a", "function:b", "agent:remote"], 9).await;
        assert!(rivals.claim(9).await.is_empty());
        let one = Worker::register(&client, "one", &["function:b"], 9).await;
        let taken = one.claim(9).await;
        assert_eq!(taken.iter().map(|lease| &lease.run).collect::<Vec<_>>(), [&of_b]);
        let both = Worker::register(&client, "both", &["function:a", "agent:remote"], 9).await;
        let taken: HashSet<_> = both.claim(9).await.into_iter().map(|lease| lease.run).collect();
        assert_eq!(taken, HashSet::from([of_a, of_agent["id"].as_str().unwrap().to_owned()]));
    }

    async fn slots_are_never_exceeded(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("slow", json!({}), json!({})).await;
        for _ in 0..12 {
            create(&client, &definition, json!({})).await;
        }
        let worker = Worker::register(&client, "narrow", &["function:slow"], 3).await;
        let claims = join_all((0..6).map(|_| worker.claim(2))).await;
        let mut held: Vec<Lease> = claims.into_iter().flatten().collect();
        assert_eq!(held.len(), 3);
        worker.complete(&held.pop().unwrap(), json!(1)).await;
        assert_eq!(worker.claim(9).await.len(), 1);
    }

    async fn two_workers_never_get_the_same_run(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("shared", json!({}), json!({})).await;
        let made: Vec<_> = join_all((0..40).map(|_| create(&client, &definition, json!({})))).await;
        let workers = join_all(["a", "b", "c", "d"].map(|name| Worker::register(&client, name, &["function:shared"], 20))).await;
        let claimed = join_all(workers.iter().map(|worker| async move {
            let mut runs = Vec::new();
            for _ in 0..20 {
                runs.extend(worker.claim(1).await.into_iter().map(|lease| lease.run));
            }
            runs
        }));
        let claimed: Vec<String> = claimed.await.into_iter().flatten().collect();
        let distinct: HashSet<&String> = claimed.iter().collect();
        assert_eq!((claimed.len(), distinct.len()), (made.len(), made.len()));
    }

    async fn max_concurrent_counts_workers_and_nodes_together(app: App) {
        let client = key(&app).await;
        let agent = app.acme.agent("mixed", json!({ "model": "mock/script", "maxConcurrent": 3 })).await;
        let (path, body) = (format!("/v1/agents/{agent}"), json!({ "agentId": agent, "input": { "script": [{ "text": "a", "delayMs": 20 }] } }));
        for (delivery, count) in [("WORKER", 8), ("ENGINE", 12)] {
            client.patch(&path, json!({ "delivery": delivery })).await.expect(200);
            for _ in 0..count {
                client.post("/v1/task-runs", body.clone()).await.expect(201);
            }
        }
        let worker = Worker::register(&client, "w", &["agent:mixed"], 8).await;
        let sql = "SELECT COUNT(*) AS number FROM task_run WHERE status = 'RUNNING'";
        let (mut most, mut done) = (0, 0);
        while done < 8 {
            let leases = worker.wait(8, 1_000).await;
            let rows = app.core.db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
            most = most.max(rows[0].try_get::<i64>("", "number").unwrap());
            for lease in leases {
                worker.complete(&lease, json!("done")).await;
                done += 1;
            }
        }
        eventually("the node's runs end", async || {
            let list = client.get("/v1/task-runs?status=COMPLETED&count=true").await.expect(200);
            list["total"] == json!(20)
        })
        .await;
        assert!((1..=3).contains(&most), "{most} at once");
    }

    async fn a_waiting_claim_is_answered_when_a_run_is_created(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("awaited", json!({}), json!({})).await;
        let worker = Worker::register(&client, "patient", &["function:awaited"], 2).await;
        let callers = app.core.engine.callers();
        let waited = worker.wait(1, 30_000);
        let created = async {
            eventually("the worker waits", async || callers.waiting() == 1).await;
            create(&client, &definition, json!({})).await
        };
        let (taken, run) = tokio::join!(waited, created);
        assert_eq!(taken[0].run, run);
        // The line was called, not left because a look was due.
        assert_eq!(callers.called(), 1);
        assert!(worker.wait(1, 50).await.is_empty(), "nothing more");
    }

    async fn who_hangs_up_is_given_nothing(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("gone", json!({}), json!({})).await;
        let worker = Worker::register(&client, "gone", &["function:gone"], 2).await;
        let callers = app.core.engine.callers();
        let hung = tokio::time::timeout(Duration::from_millis(200), worker.wait(1, 30_000)).await;
        assert!(hung.is_err());
        eventually("the line is left", async || callers.waiting() == 0).await;
        let run = create(&client, &definition, json!({})).await;
        assert_eq!(worker.take().await.run, run);
    }

    async fn the_next_run_comes_with_the_end_of_the_one_before(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("chain", json!({}), json!({})).await;
        let first = create(&client, &definition, json!({})).await;
        let second = create(&client, &definition, json!({})).await;
        let worker = Worker::register(&client, "chain", &["function:chain"], 1).await;
        let lease = worker.take().await;
        assert_eq!(lease.run, first);
        let ended = worker.call(&lease, "complete", json!({ "output": 1, "claimNext": true })).await.expect(200);
        let next = Lease::of(&ended["next"]);
        assert_eq!(next.run, second);
        let error = json!({ "type": "broken", "message": "It broke.", "retryable": false });
        let ended = worker.call(&next, "fail", json!({ "error": error, "claimNext": true })).await.expect(200);
        assert_eq!((&ended["next"], &ended["run"]["status"]), (&json!(null), &json!("FAILED")));
    }

    async fn a_paused_agent_gives_nothing_to_workers(app: App) {
        let client = key(&app).await;
        let agent = app.acme.agent("held", json!({ "delivery": "WORKER" })).await;
        client.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        client.post("/v1/task-runs", json!({ "agentId": agent })).await.expect(201);
        let worker = Worker::register(&client, "w", &["agent:held"], 1).await;
        assert!(worker.claim(1).await.is_empty());
        client.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        assert_eq!(worker.claim(1).await.len(), 1);
    }

    async fn what_a_credential_does_not_see_its_worker_is_not_given(app: App) {
        let owner = &app.acme.owner;
        let strict = json!({ "name": "Strict", "isolation": "STRICT" });
        let workspace = owner.post("/v1/workspaces", strict).await.expect(201)["id"].clone();
        let tool = json!({ "name": "hidden", "type": "FUNCTION", "config": { "function": "hidden" }, "workspaceId": workspace });
        let tool = owner.post("/v1/tools", tool).await.expect(201)["id"].clone();
        let definition = json!({ "name": "hidden", "type": "AUTOMATION", "toolId": tool, "workspaceId": workspace });
        let definition = owner.post("/v1/task-definitions", definition).await.expect(201)["id"].clone();
        create(owner, definition.as_str().unwrap(), json!({})).await;
        let manager = crate::support::people::member(&app, owner, "manager@acme.example.com", "MANAGER").await;
        let outside = Worker::register(&manager, "outside", &["function:hidden"], 1).await;
        assert!(outside.claim(1).await.is_empty());
        let inside = Worker::register(owner, "inside", &["function:hidden"], 1).await;
        assert_eq!(inside.claim(1).await.len(), 1);
    }
}
