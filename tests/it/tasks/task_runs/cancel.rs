//! `POST /v1/task-runs/{id}/cancel`: after the acknowledgement no new model or tool call is started. The
//! clock stands still, so that nothing is cancelled by the sweep, which overrules executors after half a minute.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use entity::tasks::task_run::RunReason;
use serde_json::{Value, json};
use service::clock::Clock;
use service::core::World;
use service::db::Reason;
use service::engine::{Attempt, Executor, Outcome, transitions};
use service::ids::Ids;

use crate::support::model_server::{End, ModelServer, Raw, Reply, chunk, frames};
use crate::support::{App, Backend, eventually};

/// The first turn says something and makes a call; a later one ends.
fn server(held: bool) -> ModelServer {
    ModelServer::start(move |conversation| {
        let first = frames("Thinking.", &[("call_1", "charge", json!({ "case": "a" }))]);
        match conversation.turn {
            // Behind the role's frame, so that the first one is text.
            0 if held && conversation.said == "hold" => Reply::Held(first[1..].to_vec()),
            0 => Reply::Frames(first),
            _ => Reply::Frames(frames("done", &[])),
        }
    })
}

async fn agent(app: &App, server: &ModelServer, policy: &str) -> String {
    let agent = app.acme.model_agent("cancelled", server, json!({})).await;
    let tool = app.acme.effect("charge", server, "KEYED").await;
    app.acme.bind(&agent, &tool, json!({ "policy": policy })).await;
    agent
}

async fn cancelled(app: &App, path: &str) -> Value {
    eventually("it is cancelled", async || {
        app.acme.owner.get(path).await.expect(200)["status"] == "CANCELLED"
    })
    .await;
    let run = app.acme.owner.get(path).await.expect(200);
    assert_eq!(run["reason"], "BY_USER");
    run
}

/// What was held goes on, another run passes from beginning to end, and the cancelled one is as it was.
async fn nothing_more(app: &App, server: &ModelServer, agent: &str, path: &str) {
    let before = app.acme.owner.get(path).await.expect(200);
    let (asked, effects) = (server.asked().len(), server.effects().len());
    server.release();
    let other = app.acme.run(json!({ "agentId": agent, "input": "pass" })).await;
    assert_eq!(other["status"], "COMPLETED", "{other}");
    assert_eq!((server.asked().len(), server.effects().len()), (asked + 2, effects + 1));
    assert_eq!(app.acme.owner.get(path).await.expect(200), before);
}

on_both! {
    manual;

    async fn during_a_model_call(app: App) {
        let server = server(true);
        let agent = agent(&app, &server, "ALLOW").await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "hold" })).await;
        server.until(1).await;
        eventually("its text is heard", async || {
            app.acme.owner.get(&format!("{path}/events?types=model.delta")).await.text.contains("Thinking.")
        })
        .await;
        let cancel = format!("{path}/cancel");
        assert_eq!(app.rival.owner.post(&cancel, json!({})).await.problem(404), "not_found");
        let told = app.acme.owner.post(&cancel, json!({})).await.expect(202);
        assert_eq!((&told["status"], &told["reason"]), (&json!("RUNNING"), &json!("CANCEL_REQUESTED")));
        let run = cancelled(&app, &path).await;
        assert_eq!((server.asked().len(), server.effects().len()), (1, 0));

        let steps = app.acme.owner.get(&format!("{path}/steps")).await.expect(200)["data"].clone();
        assert_eq!(steps.as_array().unwrap().len(), 1, "{steps}");
        assert_eq!((&steps[0]["stopReason"], &steps[0]["response"]["content"]), (&json!("INTERRUPTED"), &json!("Thinking.")));
        assert_eq!(run["cost"], steps[0]["cost"], "what the provider bills is in the run's cost");
        assert_eq!(app.acme.owner.post(&cancel, json!({})).await.problem(409), "invalid_transition");
        nothing_more(&app, &server, &agent, &path).await;
    }

    async fn during_a_tool_call(app: App) {
        let server = server(false);
        let agent = agent(&app, &server, "ALLOW").await;
        server.outcome("charge", Raw::json(200, &json!({})).ending(End::Held));
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        eventually("the call is made", async || server.effects().len() == 1).await;
        app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(202);
        cancelled(&app, &path).await;
        assert_eq!(server.asked().len(), 1);
        nothing_more(&app, &server, &agent, &path).await;
    }

    async fn while_the_provider_is_waited_for(app: App) {
        let server = ModelServer::start(|conversation| match conversation.said.as_str() {
            "pass" => Reply::Frames(frames("done", &[])),
            _ => Reply::Raw(Raw::json(429, &json!({})).header("retry-after", "25")),
        });
        let agent = app.acme.model_agent("limited", &server, json!({})).await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        eventually("it waits", async || app.acme.owner.get(&format!("{path}/events")).await.text.contains("model.retried")).await;
        app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(202);
        cancelled(&app, &path).await;
        assert_eq!(server.asked().len(), 1);
    }

    async fn told_to_another_node(app: App) {
        let server = server(true);
        let agent = agent(&app, &server, "ALLOW").await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "hold" })).await;
        server.until(1).await;
        let (tenant, run) = (app.acme.id.parse().unwrap(), path.rsplit('/').next().unwrap().parse().unwrap());
        let tx = app.core.db.system(Reason::Engine).begin().await.unwrap();
        let now = app.core.clock.now();
        transitions::cancel(&tx, tenant, run, RunReason::ByUser, "elsewhere", now).await.unwrap();
        tx.commit().await.unwrap();
        cancelled(&app, &path).await;
        nothing_more(&app, &server, &agent, &path).await;
    }

    async fn while_it_waits_for_a_person(app: App) {
        let server = server(false);
        let agent = agent(&app, &server, "ASK").await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        eventually("it asks", async || app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING").await;
        let asked = app.acme.owner.get("/v1/approvals").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
        let ended = app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(200);
        assert_eq!((&ended["status"], &ended["reason"]), (&json!("CANCELLED"), &json!("BY_USER")));
        let closed = app.acme.owner.get(&format!("/v1/approvals/{asked}")).await.expect(200);
        assert_eq!(closed["status"], "CANCELLED");
        let late = app.acme.owner.post(&format!("/v1/approvals/{asked}/decide"), json!({ "decision": "APPROVE" })).await;
        assert_eq!(late.problem(409), "already_decided");
        assert_eq!(server.effects().len(), 0);
    }
}

mod an_executor_that_does_not_listen {
    use super::*;

    struct Deaf;

    #[async_trait]
    impl Executor for Deaf {
        async fn execute(&self, _: &dyn Attempt) -> Outcome {
            std::future::pending().await
        }
    }

    async fn check(backend: Backend) {
        let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
        let world = World { ids: Ids::random(clock.clone()), clock };
        let long = |config: &mut service::config::Config| config.engine.lease = Duration::from_secs(86_400);
        let app = App::start_executing(backend, world, long, Arc::new(Deaf)).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": {} })).await;
        eventually("it runs", async || app.acme.owner.get(&path).await.expect(200)["status"] == "RUNNING")
            .await;
        app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(202);
        cancelled(&app, &path).await;
        eventually("its slot is free", async || app.core.engine.executing() == 0).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        check(Backend::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        check(Backend::Postgres).await;
    }
}

#[test]
fn a_held_answer_begins_with_text() {
    assert_eq!(frames("x", &[])[1], chunk(json!({ "content": "x" }), Value::Null));
}
