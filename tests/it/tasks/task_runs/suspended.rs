//! A suspended tenant starts nothing new; what runs ends, and everything can still be read.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::model_server::{ModelServer, Reply, frames};

on_both! {
    async fn a_suspended_tenant_starts_nothing_and_reads_everything(app: App) {
        let owner = &app.acme.owner;
        let server = ModelServer::start(|conversation| match conversation.turn {
            0 => Reply::Held(frames("Thinking.", &[("call_1", "charge", json!({ "case": "a" }))])[1..].to_vec()),
            _ => Reply::Frames(frames("done", &[])),
        });
        let agent = app.acme.model_agent("narrow", &server, json!({ "maxConcurrent": 1 })).await;
        let charge = app.acme.effect("charge", &server, "KEYED").await;
        app.acme.bind(&agent, &charge, json!({})).await;
        let body = json!({ "agentId": agent, "input": "go" });
        let ended = app.acme.run(json!({ "agentId": app.acme.agent("echo", json!({})).await, "input": "x" })).await;
        let ended = format!("/v1/task-runs/{}", ended["id"].as_str().unwrap());
        let running = app.acme.create(body.clone()).await;
        server.until(1).await;
        let queued = app.acme.create(body.clone()).await;
        let dropped = app.acme.create(body.clone()).await;
        owner.post(&format!("{dropped}/cancel"), json!({})).await.expect(200);

        let tenant = format!("/v1/tenants/{}", app.acme.id);
        app.admin.post(&format!("{tenant}/suspend"), json!({})).await.expect(200);
        let refused = [
            owner.post("/v1/task-runs", body.clone()).await,
            owner.post_once("/v1/task-runs", "k", body.clone()).await,
            owner.post(&format!("{dropped}/retry"), json!({})).await,
            owner.post(&format!("{ended}/replay"), json!({})).await,
            owner.post(&format!("/v1/tools/{charge}/invoke"), json!({ "arguments": { "case": "b" } })).await,
        ];
        for answer in refused {
            assert_eq!(answer.problem(403), "tenant_suspended");
        }
        for path in [&running, &queued, &format!("{running}/events"), &format!("{running}/steps"), "/v1/task-runs", "/v1/agents"] {
            owner.get(path).await.expect(200);
        }

        server.release();
        eventually("the running one ends", async || owner.get(&running).await.expect(200)["status"] == "COMPLETED").await;
        assert_eq!((server.asked().len(), server.effects().len()), (2, 1), "with a tool call and a turn after the suspension");
        // The engine goes on claiming: another tenant's run passes, and the slot of this one's agent is free.
        let other = app.rival.agent("echo", json!({})).await;
        assert_eq!(app.rival.run(json!({ "agentId": other, "input": "x" })).await["status"], "COMPLETED");
        let still = owner.get(&queued).await.expect(200);
        assert_eq!((&still["status"], &still["attempt"]), (&json!("PENDING"), &json!(0)));

        app.admin.post(&format!("{tenant}/resume"), Value::Null).await.expect(200);
        eventually("the queued one runs", async || owner.get(&queued).await.expect(200)["status"] == "COMPLETED").await;
        owner.post_once("/v1/task-runs", "k", body).await.expect(201);
    }
}
