//! Registering, pausing, draining and removing workers.

use serde_json::json;

use super::{create, key, run_of};
use crate::support::workers::Worker;

on_both! {
    async fn a_name_is_one_worker(app: App) {
        let client = key(&app).await;
        let first = Worker::register(&client, "one", &["function:a"], 1).await;
        client.post(&format!("{}/drain", first.path), json!({})).await.expect(200);
        assert_eq!(first.status().await, "DRAINING");
        let again = Worker::register(&client, "one", &["function:b", "function:b"], 3).await;
        assert_eq!(again.id, first.id);
        let view = client.get(&first.path).await.expect(200);
        assert_eq!((&view["capabilities"], &view["slots"], &view["revision"]), (&json!(["function:b"]), &json!(3), &json!(3)));
        assert_eq!(view["status"], "OFFLINE", "it has asked for nothing yet");
        let rivals = Worker::register(&app.rival.owner, "one", &["function:a"], 1).await;
        assert_ne!(rivals.id, first.id);
        assert_eq!(client.get("/v1/workers?count=true").await.expect(200)["total"], 1);
        assert_eq!(client.get("/v1/workers?name=two&count=true").await.expect(200)["total"], 0);
    }

    async fn what_it_offers_is_checked(app: App) {
        for (field, value) in [
            ("capabilities", json!([])),
            ("capabilities", json!(["resize"])),
            ("capabilities", json!(["function:"])),
            ("capabilities", json!(["function:UPPER"])),
            ("capabilities", json!([format!("agent:{}", "a".repeat(65))])),
            ("slots", json!(0)),
            ("slots", json!(1001)),
            ("name", json!("")),
        ] {
            let mut body = json!({ "name": "w", "capabilities": ["function:a"] });
            body[field] = value;
            let refused = app.acme.owner.post("/v1/workers", body.clone()).await;
            assert_eq!(refused.status, 422, "{body}");
            assert_eq!(refused.body["errors"][0]["pointer"], format!("/{field}"), "{body}");
        }
    }

    async fn a_paused_worker_is_given_nothing_and_keeps_what_it_has(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("p", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:p"], 2).await;
        create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        let paused = client.post(&format!("{}/pause", worker.path), json!({ "reason": "Its disk is full." })).await.expect(200);
        assert_eq!((&paused["status"], &paused["pausedReason"]), (&json!("PAUSED"), &json!("Its disk is full.")));
        let waiting = create(&client, &definition, json!({})).await;
        assert!(worker.claim(1).await.is_empty());
        Worker::register(&client, "w", &["function:p"], 2).await;
        assert_eq!(worker.status().await, "PAUSED", "a restart does not resume it");
        assert_eq!(run_of(&client, &waiting).await["reason"], "NO_WORKER");
        assert_eq!(worker.beat(&[&lease]).await["leases"][0]["state"], "OK");
        assert_eq!(worker.complete(&lease, json!(1)).await["status"], "COMPLETED");
        client.post(&format!("{}/resume", worker.path), json!({})).await.expect(200);
        assert_eq!(worker.take().await.run, waiting);
    }

    async fn a_drained_worker_is_told_so(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("d", json!({}), json!({})).await;
        let worker = Worker::register(&client, "w", &["function:d"], 2).await;
        create(&client, &definition, json!({})).await;
        let lease = worker.take().await;
        assert_eq!(worker.beat(&[&lease]).await["command"], "NONE");
        client.post(&format!("{}/drain", worker.path), json!({})).await.expect(200);
        create(&client, &definition, json!({})).await;
        let told = worker.beat(&[&lease]).await;
        assert_eq!((&told["command"], &told["leases"][0]["state"]), (&json!("DRAIN"), &json!("OK")));
        assert!(worker.claim(1).await.is_empty());
        let ended = worker.call(&lease, "complete", json!({ "output": 1, "claimNext": true })).await.expect(200);
        assert_eq!(ended["next"], json!(null));
        client.post(&format!("{}/undrain", worker.path), json!({})).await.expect(200);
        assert_eq!(worker.claim(1).await.len(), 1);
        let beat = json!({ "leases": [], "draining": true });
        let told = client.post(&format!("{}/heartbeat", worker.path), beat).await.expect(200);
        assert_eq!((&told["command"], worker.status().await), (&json!("DRAIN"), json!("DRAINING")));
    }

    async fn what_a_removed_worker_held_goes_on_elsewhere(app: App) {
        let client = key(&app).await;
        let definition = app.acme.remote("r", json!({}), json!({})).await;
        let gone = Worker::register(&client, "gone", &["function:r"], 1).await;
        let run = create(&client, &definition, json!({})).await;
        let lease = gone.take().await;
        client.delete(&gone.path).await.expect(204);
        client.get(&gone.path).await.problem(404);
        assert_eq!(gone.call(&lease, "complete", json!({ "output": 1 })).await.problem(409), "lease_lost");
        let other = Worker::register(&client, "other", &["function:r"], 1).await;
        let lease = other.take().await;
        assert_eq!((&lease.run, lease.attempt), (&run, 2));
    }

    async fn a_limited_key_is_no_workers(app: App) {
        let agent = app.acme.agent("mine", json!({ "delivery": "WORKER" })).await;
        let body = json!({ "name": "limited", "scopes": ["*"], "agentIds": [agent] });
        let made = app.acme.owner.post("/v1/api-keys", body).await.expect(201);
        let limited = app.anyone().with_key(made["key"].as_str().unwrap());
        let body = json!({ "name": "w", "capabilities": ["agent:mine"] });
        assert_eq!(limited.post("/v1/workers", body).await.problem(403), "permission_missing");
    }
}
