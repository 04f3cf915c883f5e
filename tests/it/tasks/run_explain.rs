//! `GET /v1/task-runs/{id}/explain`.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use service::db::Reason;
use service::engine::transitions::{self, Queue};
use uuid::Uuid;

use crate::support::{App, Tenant};

async fn explain(tenant: &Tenant, run: &str) -> Value {
    tenant.owner.get(&format!("{run}/explain")).await.expect(200)
}

fn codes(explanation: &Value) -> Vec<&str> {
    explanation["causes"].as_array().unwrap().iter().map(|cause| cause["code"].as_str().unwrap()).collect()
}

fn actions(explanation: &Value) -> Vec<&str> {
    explanation["actions"].as_array().unwrap().iter().map(|action| action["code"].as_str().unwrap()).collect()
}

/// Starts the first run of a queue at a node that does nothing with it.
async fn start(app: &App, lane: &str, key: &str) {
    let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
    let queue = Queue::of_nodes(app.acme.id.parse().unwrap(), lane.parse().unwrap(), key);
    let now = app.core.clock.now();
    let lease = Duration::from_secs(60);
    let taken = transitions::claim_queue(&tx, queue, 1, Uuid::from_u128(7), now, lease).await.unwrap();
    assert_eq!(taken.len(), 1);
    tx.commit().await.unwrap();
}

on_both! {
    idle;
    async fn what_blocks_a_queued_run_is_named(app: App) {
        let agent = app.acme.agent("narrow", json!({ "maxConcurrent": 1 })).await;
        let config = json!({ "concurrency": { "key": "{{ input.customer }}" } });
        let definition = app.acme.definition("keyed", json!({ "agentId": agent, "config": config })).await;
        let body = json!({ "definitionId": definition, "input": { "customer": "a" } });
        let first = app.acme.create(body.clone()).await;
        let second = app.acme.create(body.clone()).await;
        let third = app.acme.create(body.clone()).await;
        let why = explain(&app.acme, &third).await;
        assert_eq!(codes(&why), ["NO_NODE", "BEHIND_OTHERS", "QUEUE_EXPIRES"]);
        assert_eq!((&why["position"]["ahead"], &why["position"]["isCapped"]), (&json!(2), &json!(false)));
        assert_eq!((&why["status"], &why["estimate"]), (&json!("PENDING"), &Value::Null), "nothing will start it: {why}");
        assert!(why["summary"].as_str().unwrap().ends_with('.'));

        start(&app, &agent, &format!("{definition}/a")).await;
        let why = explain(&app.acme, &first).await;
        assert_eq!(codes(&why), ["EXECUTING"]);
        assert_eq!((&why["lease"]["executorId"], &why["lease"]["attempt"]), (&json!(Uuid::from_u128(7)), &json!(1)));
        assert_eq!(actions(&why), ["CANCEL"]);
        let why = explain(&app.acme, &second).await;
        assert_eq!(codes(&why), ["NO_NODE", "AGENT_LIMIT", "CONCURRENCY_LIMIT", "QUEUE_EXPIRES"]);
        assert_eq!((&why["causes"][2]["value"], &why["causes"][2]["limit"]), (&json!(1), &json!(1)));
        assert!(why["causes"][2]["message"].as_str().unwrap().contains("`a`"));

        app.acme.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let why = explain(&app.acme, &second).await;
        assert_eq!(codes(&why)[1], "AGENT_PAUSED");
        assert_eq!(actions(&why), ["CANCEL", "RESUME_AGENT"]);

        let mut later = body;
        later["availableAt"] = json!(app.core.clock.now() + TimeDelta::hours(1));
        let why = explain(&app.acme, &app.acme.create(later).await).await;
        let delayed = why["causes"].as_array().unwrap().iter().find(|cause| cause["code"] == "DELAYED").unwrap();
        assert!(delayed["blocks"] == true && delayed["until"].is_string(), "{why}");

        app.acme.owner.post("/v1/tenant/emergency-stop", json!({ "reason": "a drill" })).await.expect(200);
        assert_eq!(codes(&explain(&app.acme, &second).await)[1], "TENANT_STOPPED");

        let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
        let suspend = "UPDATE tenant SET status = 'SUSPENDED' WHERE id = $1";
        tx.execute(suspend, vec![app.acme.id.parse::<Uuid>().unwrap().into()]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(codes(&explain(&app.acme, &second).await)[1], "TENANT_NOT_ACTIVE");

        assert_eq!(app.rival.owner.get(&format!("{second}/explain")).await.problem(404), "not_found");
    }
}

on_both! {
    async fn ended_and_waiting_runs_are_explained(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "x" })).await;
        let why = explain(&app.acme, &format!("/v1/task-runs/{}", run["id"].as_str().unwrap())).await;
        assert_eq!((codes(&why), actions(&why)), (vec!["COMPLETED"], vec!["REPLAY"]));

        let failing = app.acme.agent("failing", json!({ "model": "mock/script" })).await;
        let config = json!({ "retry": { "maxAttempts": 2, "baseMs": 1, "capMs": 1 } });
        let definition = app.acme.definition("failing", json!({ "agentId": failing, "config": config })).await;
        let input = json!({ "script": [{ "error": { "kind": "OVERLOADED" } }] });
        let run = app.acme.run(json!({ "definitionId": definition, "input": input })).await;
        let why = explain(&app.acme, &format!("/v1/task-runs/{}", run["id"].as_str().unwrap())).await;
        assert_eq!((codes(&why), actions(&why)), (vec!["FAILED"], vec!["RETRY", "REPLAY"]));
        assert!(why["summary"].as_str().unwrap().starts_with("All 2 attempts failed; the last one: "), "{why}");

        let held = app.acme.agent("held", json!({})).await;
        app.acme.owner.post(&format!("/v1/agents/{held}/pause"), json!({})).await.expect(200);
        let path = app.acme.create(json!({ "agentId": held, "input": "x" })).await;
        app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(200);
        let why = explain(&app.acme, &path).await;
        assert_eq!((codes(&why), actions(&why)), (vec!["CANCELLED"], vec!["RETRY", "REPLAY"]));

        let asking = app.acme.agent("asking", json!({ "model": "mock/tools" })).await;
        let tool = app.acme.builtin("now", "builtin/now").await;
        app.acme.bind(&asking, &tool, json!({ "policy": "ASK" })).await;
        let path = app.acme.create(json!({ "agentId": asking, "input": "x" })).await;
        crate::support::eventually("it waits", async || {
            app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING"
        })
        .await;
        let why = explain(&app.acme, &path).await;
        assert_eq!((codes(&why), actions(&why)), (vec!["WAITS"], vec!["DECIDE", "CANCEL"]));
        assert_eq!(why["waitsFor"][0]["kind"], "APPROVAL");
        assert!(why["waitsFor"][0]["expiresAt"].is_string() && why["waitsFor"][0]["id"].is_string());

        let ask = app.acme.builtin("ask", "builtin/ask_user").await;
        let definition = app.acme.definition("ask", json!({ "toolId": ask })).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": { "question": "Now?" } })).await;
        crate::support::eventually("it waits", async || {
            app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING"
        })
        .await;
        let why = explain(&app.acme, &path).await;
        let open = &app.acme.owner.get(&path).await.expect(200)["waitingFor"][0];
        assert_eq!((codes(&why), actions(&why)), (vec!["WAITS"], vec!["ANSWER", "CANCEL"]));
        assert_eq!(why["waitsFor"], json!([{ "kind": "USER_INPUT", "id": open["id"], "expiresAt": open["expiresAt"] }]));
        assert_eq!(why["causes"][0]["until"], open["expiresAt"]);
    }
}
