//! `/v1/bulk-actions`.

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::tasks::bulk_actions;

use crate::support::{Tenant, eventually};

/// Runs of an agent that starts nothing.
async fn held(tenant: &Tenant, name: &str, count: usize) -> (String, Vec<String>) {
    let agent = tenant.agent(name, json!({})).await;
    tenant.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(tenant.create(json!({ "agentId": agent, "input": "x" })).await);
    }
    (agent, runs)
}

async fn ended(tenant: &Tenant, id: &Value) -> Value {
    let path = format!("/v1/bulk-actions/{}", id.as_str().unwrap());
    eventually("the action ends", async || {
        !tenant.owner.get(&path).await.expect(200)["completedAt"].is_null()
    })
    .await;
    tenant.owner.get(&path).await.expect(200)
}

async fn items(tenant: &Tenant, id: &Value) -> Vec<Value> {
    let path = format!("/v1/bulk-actions/{}/items?limit=200", id.as_str().unwrap());
    tenant.owner.get(&path).await.expect(200)["data"].as_array().unwrap().clone()
}

on_both! {
    async fn a_draft_is_counted_started_and_worked_off(app: App) {
        let (agent, runs) = held(&app.acme, "held", 60).await;
        let (_, others) = held(&app.acme, "other", 1).await;
        let (_, theirs) = held(&app.rival, "held", 1).await;
        let body = json!({ "kind": "CANCEL", "filter": { "agentId": agent }, "dryRun": true });
        let draft = app.acme.owner.post("/v1/bulk-actions", body).await.expect(201);
        assert_eq!((&draft["status"], &draft["matched"], &draft["matchedIsCapped"]), (&json!("DRAFT"), &json!(60), &json!(false)));
        // What comes later is not acted on.
        let late = app.acme.create(json!({ "agentId": agent, "input": "late" })).await;
        let path = format!("/v1/bulk-actions/{}", draft["id"].as_str().unwrap());
        assert_eq!(app.rival.owner.post(&format!("{path}/start"), json!({})).await.problem(404), "not_found");
        assert_eq!(app.acme.owner.post(&format!("{path}/start"), json!({})).await.expect(200)["status"], "RUNNING");
        let done = ended(&app.acme, &draft["id"]).await;
        assert_eq!((&done["status"], &done["succeeded"], &done["skipped"], &done["failed"]), (&json!("COMPLETED"), &json!(60), &json!(0), &json!(0)));
        for run in &runs {
            assert_eq!(app.acme.owner.get(run).await.expect(200)["reason"], "BY_USER");
        }
        for (tenant, run) in [(&app.acme, &late), (&app.acme, &others[0]), (&app.rival, &theirs[0])] {
            assert_eq!(tenant.owner.get(run).await.expect(200)["status"], "PENDING");
        }
        let results = items(&app.acme, &draft["id"]).await;
        assert_eq!(results.len(), 60);
        assert!(results.iter().all(|item| item["outcome"] == "SUCCEEDED" && item["code"].is_null()));
        assert_eq!(app.acme.owner.post(&format!("{path}/start"), json!({})).await.problem(409), "invalid_transition");
        assert_eq!(app.acme.owner.post(&format!("{path}/abort"), json!({})).await.problem(409), "invalid_transition");
        // Each change has its row, of the action's creator.
        let audited = app.acme.owner.get("/v1/audit-logs?action=cancel_task_run&count=true").await.expect(200);
        assert_eq!(audited["total"], 60);
        assert!(audited["data"][0]["actor"].as_str().unwrap().starts_with("user:"));
        assert_eq!(audited["data"][0]["requestId"], format!("bulk-{}", draft["id"].as_str().unwrap()));
    }

    async fn what_ended_is_retried_and_replayed(app: App) {
        let (agent, runs) = held(&app.acme, "held", 3).await;
        for run in &runs {
            app.acme.owner.post(&format!("{run}/cancel"), json!({})).await.expect(200);
        }
        let replay = json!({ "kind": "REPLAY", "filter": { "agentId": agent, "status": "CANCELLED" } });
        let made = app.acme.owner.post("/v1/bulk-actions", replay).await.expect(201);
        let done = ended(&app.acme, &made["id"]).await;
        assert_eq!((&done["matched"], &done["succeeded"]), (&json!(3), &json!(3)), "{done}");
        for item in items(&app.acme, &made["id"]).await {
            let new = format!("/v1/task-runs/{}", item["newRunId"].as_str().unwrap());
            let new = app.acme.owner.get(&new).await.expect(200);
            assert_eq!((&new["replayOf"], &new["status"]), (&item["runId"], &json!("PENDING")));
        }
        app.acme.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        let retry = json!({ "kind": "RETRY", "filter": { "agentId": agent, "reason": "BY_USER" } });
        let made = app.acme.owner.post("/v1/bulk-actions", retry).await.expect(201);
        assert_eq!(ended(&app.acme, &made["id"]).await["succeeded"], 3);
        for run in &runs {
            eventually("it runs", async || app.acme.owner.get(run).await.expect(200)["status"] == "COMPLETED").await;
        }
        app.acme.owner.delete(&format!("/v1/agents/{agent}")).await.expect(204);
        let replay = json!({ "kind": "REPLAY", "filter": { "agentId": agent, "status": "COMPLETED" } });
        let made = app.acme.owner.post("/v1/bulk-actions", replay).await.expect(201);
        let done = ended(&app.acme, &made["id"]).await;
        assert_eq!((&done["status"], &done["failed"]), (&json!("COMPLETED"), &json!(6)));
        assert!(items(&app.acme, &made["id"]).await.iter().all(|item| item["code"] == "target_gone"));
    }

    async fn who_lost_the_right_acts_no_more(app: App) {
        let (agent, runs) = held(&app.acme, "held", 2).await;
        let key = app.acme.owner.post("/v1/api-keys", json!({ "name": "bulk", "scopes": ["bulk-actions:write", "bulk-actions:read"] })).await.expect(201);
        let caller = app.anyone().with_key(key["key"].as_str().unwrap());
        let body = json!({ "kind": "CANCEL", "filter": { "agentId": agent }, "dryRun": true });
        let draft = caller.post("/v1/bulk-actions", body).await.expect(201);
        app.acme.owner.delete(&format!("/v1/api-keys/{}", key["id"].as_str().unwrap())).await.expect(204);
        let start = format!("/v1/bulk-actions/{}/start", draft["id"].as_str().unwrap());
        app.acme.owner.post(&start, json!({})).await.expect(200);
        let done = ended(&app.acme, &draft["id"]).await;
        assert_eq!((&done["status"], &done["succeeded"]), (&json!("FAILED"), &json!(0)), "{done}");
        assert_eq!(app.acme.owner.get(&runs[0]).await.expect(200)["status"], "PENDING");
    }

    async fn what_is_no_filter_is_refused_with_its_place(app: App) {
        let nobody = "0199a000-0000-7000-8000-000000000001";
        for (kind, filter, pointer) in [
            ("CANCEL", json!({}), "/filter"),
            ("CANCEL", json!({ "status": "COMPLETED" }), "/filter/status"),
            ("RETRY", json!({ "status": "COMPLETED" }), "/filter/status"),
            ("REPLAY", json!({ "status": "PENDING" }), "/filter/status"),
            ("CANCEL", json!({ "agentId": nobody }), "/filter/agentId"),
            ("CANCEL", json!({ "concurrencyKey": "a" }), "/filter/concurrencyKey"),
            ("CANCEL", json!({ "reason": "BECAUSE" }), "/filter/reason"),
            ("CANCEL", json!({ "createdAfter": "yesterday" }), "/filter/createdAfter"),
        ] {
            let body = json!({ "kind": kind, "filter": filter });
            let answer = app.acme.owner.post("/v1/bulk-actions", body).await.expect(422);
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        let body = json!({ "kind": "CANCEL", "filter": { "status": "PENDING" }, "dryRun": true });
        let first = app.acme.owner.post_once("/v1/bulk-actions", "k", body.clone()).await.expect(201);
        assert_eq!(app.acme.owner.post_once("/v1/bulk-actions", "k", body).await.expect(201)["id"], first["id"]);
    }
}

on_both! {
    idle;
    async fn several_nodes_act_on_each_run_once_and_an_abort_ends_it(app: App) {
        let (agent, runs) = held(&app.acme, "held", 120).await;
        let body = json!({ "kind": "CANCEL", "filter": { "agentId": agent } });
        let made = app.acme.owner.post("/v1/bulk-actions", body.clone()).await.expect(201);
        // One page: what a node has done that dies then.
        assert_eq!(bulk_actions::work_once(&app.core).await.unwrap(), 50);
        let path = format!("/v1/bulk-actions/{}", made["id"].as_str().unwrap());
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["succeeded"], 50);
        let workers = (0..4).map(|_| async { while bulk_actions::work_once(&app.core).await.unwrap() > 0 {} });
        join_all(workers).await;
        let done = ended(&app.acme, &made["id"]).await;
        assert_eq!((&done["succeeded"], &done["skipped"]), (&json!(120), &json!(0)), "{done}");
        assert_eq!(items(&app.acme, &made["id"]).await.len(), 120);
        let events = format!("{}/events", runs[60]);
        assert_eq!(app.acme.owner.get(&events).await.expect(200)["data"].as_array().unwrap().len(), 2);

        let (agent, runs) = held(&app.acme, "more", 60).await;
        let body = json!({ "kind": "CANCEL", "filter": { "agentId": agent } });
        let made = app.acme.owner.post("/v1/bulk-actions", body).await.expect(201);
        assert_eq!(bulk_actions::work_once(&app.core).await.unwrap(), 50);
        let path = format!("/v1/bulk-actions/{}", made["id"].as_str().unwrap());
        let aborted = app.acme.owner.post(&format!("{path}/abort"), json!({})).await.expect(200);
        assert_eq!((&aborted["status"], &aborted["succeeded"]), (&json!("ABORTED"), &json!(50)));
        assert_eq!(bulk_actions::work_once(&app.core).await.unwrap(), 0);
        assert_eq!(app.acme.owner.get(&runs[59]).await.expect(200)["status"], "PENDING");
    }
}
