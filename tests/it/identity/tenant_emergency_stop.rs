//! `/v1/tenant/emergency-stop`: nothing starts, what runs is held or cancelled, and its release is exact.

use serde_json::{Value, json};
use service::db::Reason;

use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::{App, eventually, people};

const STOP: &str = "/v1/tenant/emergency-stop";
const RELEASE: &str = "/v1/tenant/emergency-stop/release";

async fn agent(app: &App, id: &str) -> Value {
    app.acme.owner.get(&format!("/v1/agents/{id}")).await.expect(200)
}

async fn quarantine(app: &App, agent: &str) {
    let tx = app.core.db.system(Reason::Operations).begin().await.unwrap();
    let id: uuid::Uuid = agent.parse().unwrap();
    tx.execute("UPDATE agent SET status = 'QUARANTINED' WHERE id = $1", vec![id.into()]).await.unwrap();
    tx.commit().await.unwrap();
}

on_both! {
    async fn it_pauses_every_agent_and_its_release_resumes_exactly_those(app: App) {
        let owner = &app.acme.owner;
        let [active, paused, ill] = ["active", "paused", "ill"].map(|name| app.acme.agent(name, json!({})));
        let (active, paused, ill) = (active.await, paused.await, ill.await);
        owner.post(&format!("/v1/agents/{paused}/pause"), json!({ "reason": "holidays" })).await.expect(200);
        let other = app.rival.agent("other", json!({})).await;
        let stopped = owner.post(STOP, json!({ "reason": "wrong customers" })).await.expect(200);
        assert_eq!((&stopped["isStopped"], &stopped["pausedAgents"], &stopped["reason"]), (&json!(true), &json!(2), &json!("wrong customers")));
        assert_eq!(agent(&app, &active).await["status"], "PAUSED");
        assert_eq!(agent(&app, &active).await["statusReason"], "Emergency stop: wrong customers");
        assert_eq!(owner.post(&format!("/v1/agents/{active}/resume"), json!({})).await.problem(409), "emergency_stopped");
        assert_eq!(owner.post(&format!("/v1/agents/{paused}/resume"), json!({})).await.problem(409), "emergency_stopped");
        assert_eq!(app.rival.run(json!({ "agentId": other, "input": "x" })).await["status"], "COMPLETED");

        // What is made meanwhile does not start either, and is paused by the next stop.
        let late = app.acme.agent("late", json!({})).await;
        let waiting = app.acme.create(json!({ "agentId": late, "input": "x" })).await;
        let again = owner.post(STOP, json!({})).await.expect(200);
        assert_eq!((&again["pausedAgents"], &again["stoppedAt"], &again["reason"]), (&json!(3), &stopped["stoppedAt"], &stopped["reason"]));
        quarantine(&app, &ill).await;
        assert_eq!(owner.get(STOP).await.expect(200)["pausedAgents"], 2);
        assert_eq!(owner.get(&waiting).await.expect(200)["attempt"], 0);

        let released = owner.post(RELEASE, Value::Null).await.expect(200);
        assert_eq!((&released["isStopped"], &released["pausedAgents"]), (&json!(false), &json!(0)));
        assert_eq!(agent(&app, &active).await["status"], "ACTIVE");
        assert_eq!(agent(&app, &active).await["statusReason"], Value::Null);
        let kept = agent(&app, &paused).await;
        assert_eq!((&kept["status"], &kept["statusReason"]), (&json!("PAUSED"), &json!("holidays")));
        assert_eq!(agent(&app, &ill).await["status"], "QUARANTINED");
        assert_eq!(owner.post(RELEASE, Value::Null).await.problem(409), "invalid_transition");
        eventually("what waited runs", async || owner.get(&waiting).await.expect(200)["status"] == "COMPLETED").await;
    }

    async fn nothing_starts_while_it_holds_of_an_agent_or_of_a_tool(app: App) {
        let owner = &app.acme.owner;
        let agent = app.acme.agent("echo", json!({})).await;
        let tool = json!({ "name": "echo", "description": "x", "type": "FUNCTION", "config": { "function": "builtin/echo" } });
        let tool = owner.post("/v1/tools", tool).await.expect(201)["id"].as_str().unwrap().to_owned();
        let definition = json!({ "name": "d", "type": "AUTOMATION", "toolId": tool });
        let definition = owner.post("/v1/task-definitions", definition).await.expect(201)["id"].clone();
        owner.post(STOP, json!({})).await.expect(200);
        let runs = [
            app.acme.create(json!({ "agentId": agent, "input": "x" })).await,
            app.acme.create(json!({ "definitionId": definition, "input": { "a": 1 } })).await,
        ];
        // The engine goes on claiming: another tenant's runs pass.
        let other = app.rival.agent("echo", json!({})).await;
        for _ in 0..3 {
            assert_eq!(app.rival.run(json!({ "agentId": other, "input": "x" })).await["status"], "COMPLETED");
        }
        for run in &runs {
            let still = owner.get(run).await.expect(200);
            assert_eq!((&still["status"], &still["attempt"]), (&json!("PENDING"), &json!(0)), "{run}");
        }
        owner.post(RELEASE, Value::Null).await.expect(200);
        for run in &runs {
            eventually("it runs", async || owner.get(run).await.expect(200)["status"] == "COMPLETED").await;
        }
    }

    async fn what_runs_is_held_after_its_step_and_goes_on_where_it_was(app: App) {
        let owner = &app.acme.owner;
        let server = ModelServer::start(|conversation| match conversation.turn {
            0 => Reply::Held(frames("Thinking.", &[("call_1", "charge", json!({ "case": "a" }))])[1..].to_vec()),
            _ => Reply::Frames(frames("done", &[])),
        });
        let agent = app.acme.model_agent("held", &server, json!({})).await;
        let charge = app.acme.effect("charge", &server, "KEYED").await;
        app.acme.bind(&agent, &charge, json!({})).await;
        let run = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        server.until(1).await;
        assert_eq!(owner.post(STOP, json!({})).await.expect(200)["runningRuns"], 1);
        server.release();
        eventually("it is given back", async || owner.get(STOP).await.expect(200)["runningRuns"] == 0).await;
        let held = owner.get(&run).await.expect(200);
        assert_eq!(held["status"], "PENDING", "{held}");
        assert_eq!((server.asked().len(), server.effects().len()), (1, 0), "no tool was called");
        owner.post(RELEASE, Value::Null).await.expect(200);
        eventually("it goes on", async || owner.get(&run).await.expect(200)["status"] == "COMPLETED").await;
        assert_eq!((server.asked().len(), server.effects().len()), (2, 1), "the first turn was not asked again");
    }

    async fn what_runs_is_cancelled_where_that_is_wished(app: App) {
        let owner = &app.acme.owner;
        let server = ModelServer::start(|_| Reply::Held(frames("x", &[])[1..].to_vec()));
        let agent = app.acme.model_agent("held", &server, json!({})).await;
        let run = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        server.until(1).await;
        owner.post(STOP, json!({ "running": "CANCEL" })).await.expect(200);
        eventually("it is cancelled", async || owner.get(&run).await.expect(200)["status"] == "CANCELLED").await;
        server.release();
    }

    async fn managers_stop_and_operators_do_not(app: App) {
        let owner = &app.acme.owner;
        let manager = people::member(&app, owner, "manager@acme.example.com", "MANAGER").await;
        let operator = people::member(&app, owner, "operator@acme.example.com", "OPERATOR").await;
        assert_eq!(operator.post(STOP, json!({})).await.problem(403), "permission_missing");
        assert_eq!(manager.post(STOP, json!({ "running": "NEVER" })).await.problem(422), "invalid");
        manager.post_once(STOP, "k", json!({})).await.expect(200);
        manager.post_once(STOP, "k", json!({})).await.expect(200);
        assert_eq!(operator.get(STOP).await.expect(200)["isStopped"], true);
        assert_eq!(operator.post(RELEASE, Value::Null).await.problem(403), "permission_missing");
        let inbox = owner.get("/v1/notifications").await.expect(200);
        assert_eq!(inbox["data"].as_array().unwrap().iter().filter(|one| one["type"] == "EMERGENCY_STOP").count(), 1);
        let log = owner.get("/v1/audit-logs?limit=20").await.expect(200);
        let row = log["data"].as_array().unwrap().iter().find(|row| row["action"] == "start_emergency_stop").unwrap();
        assert_eq!(row["newData"]["isStopped"], true);
        assert_eq!(app.rival.owner.get(STOP).await.expect(200)["isStopped"], false);
    }
}
