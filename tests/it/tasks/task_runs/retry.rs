//! `POST /v1/task-runs/{id}/retry`: finished steps are kept; what they decide cannot be retried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::model_server::{End, ModelServer, Raw, Reply, chunk, frames};
use crate::support::{App, Client, eventually};

async fn ended(owner: &Client, path: &str, status: &str) -> Value {
    eventually("it ends", async || owner.get(path).await.expect(200)["status"] == status).await;
    owner.get(path).await.expect(200)
}

/// Every failure of this server is one that the journal holds: a retry is refused and asks for nothing,
/// and a replay of the same run succeeds once the model has come to its senses.
async fn is_decided(app: &App, more: Value, reason: &str, foolish: fn(usize) -> Vec<String>) {
    let sensible = Arc::new(AtomicBool::new(false));
    let told = sensible.clone();
    let server = ModelServer::start(move |conversation| {
        let sensible = told.load(Ordering::SeqCst);
        Reply::Frames(if sensible { frames("{\"n\":1}", &[]) } else { foolish(conversation.turn) })
    });
    let agent = app.acme.model_agent(reason, &server, more).await;
    let tool = app.acme.builtin(&reason.to_lowercase(), "builtin/echo").await;
    app.acme.bind(&agent, &tool, json!({})).await;
    let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
    assert_eq!((&run["status"], &run["reason"]), (&json!("FAILED"), &json!(reason)), "{run}");
    let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
    let asked = server.asked().len();
    let retry = app.acme.owner.post(&format!("{path}/retry"), json!({})).await;
    assert_eq!(retry.problem(409), "not_retryable");
    assert_eq!(app.acme.owner.get(&path).await.expect(200), run);

    sensible.store(true, Ordering::SeqCst);
    let again = app.acme.owner.post(&format!("{path}/replay?wait=30"), json!({})).await.expect(201);
    assert_eq!((&again["status"], &again["replayOf"]), (&json!("COMPLETED"), &run["id"]), "{again}");
    assert_ne!(again["id"], run["id"]);
    assert_eq!(server.asked().len(), asked + 1, "the refused retry asked for nothing");
}

on_both! {
    async fn finished_steps_are_not_made_or_paid_again(app: App) {
        let refused = AtomicBool::new(false);
        let server = ModelServer::start(move |conversation| match conversation.turn {
            0 => Reply::Frames(frames("", &[("call_1", "charge", json!({ "case": "a" }))])),
            _ if refused.swap(true, Ordering::SeqCst) => Reply::Frames(frames("done", &[])),
            _ => Reply::Raw(Raw::json(401, &json!({}))),
        });
        let agent = app.acme.model_agent("failing", &server, json!({})).await;
        let charge = app.acme.effect("charge", &server, "KEYED").await;
        app.acme.bind(&agent, &charge, json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["reason"]), (&json!("FAILED"), &json!("PROVIDER_ERROR")), "{run}");
        let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
        let before = app.acme.owner.get(&format!("{path}/steps")).await.expect(200)["data"].clone();

        assert_eq!(app.rival.owner.post(&format!("{path}/retry"), json!({})).await.problem(404), "not_found");
        let queued = app.acme.owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        assert_eq!((&queued["id"], &queued["error"]), (&run["id"], &Value::Null));
        let done = ended(&app.acme.owner, &path, "COMPLETED").await;
        assert_eq!((&done["output"], &done["attempt"]), (&json!("done"), &json!(2)), "{done}");
        let turns: Vec<usize> = server.asked().iter().map(|conversation| conversation.turn).collect();
        assert_eq!(turns, [0, 1, 1], "only the turn that failed is asked again");
        assert_eq!(server.effects().len(), 1);

        let steps = app.acme.owner.get(&format!("{path}/steps")).await.expect(200)["data"].as_array().unwrap().clone();
        let kept = before.as_array().unwrap();
        assert_eq!(steps[..kept.len()], kept[..]);
        let amount = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let paid: f64 = steps.iter().map(|step| amount(&step["cost"])).sum();
        assert!((amount(&done["cost"]) - paid).abs() < 1e-9 && paid > 0.0, "{done}");
        let events = app.acme.owner.get(&format!("{path}/events?types=run.retried")).await.expect(200);
        assert_eq!(events["data"].as_array().unwrap().len(), 1);
        assert_eq!(app.acme.owner.post(&format!("{path}/retry"), json!({})).await.problem(409), "invalid_transition");
    }

    async fn a_cancelled_run_goes_on_where_it_was(app: App) {
        let server = ModelServer::start(|conversation| match conversation.turn {
            0 => Reply::Frames(frames("", &[("call_1", "charge", json!({ "case": "a" }))])),
            _ => Reply::Held(frames("done", &[])),
        });
        let agent = app.acme.model_agent("held", &server, json!({})).await;
        let charge = app.acme.effect("charge", &server, "KEYED").await;
        app.acme.bind(&agent, &charge, json!({})).await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        eventually("the second turn is asked", async || server.asked().len() == 2).await;
        app.acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(202);
        ended(&app.acme.owner, &path, "CANCELLED").await;
        server.release();
        app.acme.owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        let done = ended(&app.acme.owner, &path, "COMPLETED").await;
        assert_eq!(done["output"], "done");
        assert_eq!((server.asked().len(), server.effects().len()), (3, 1));
    }

    async fn an_output_that_does_not_fit_is_decided(app: App) {
        let schema = json!({ "type": "object" });
        is_decided(&app, json!({ "outputSchema": schema }), "INVALID_OUTPUT", |_| frames("no JSON", &[])).await;
    }

    async fn a_model_that_goes_round_in_circles_is_decided(app: App) {
        is_decided(&app, json!({}), "NO_PROGRESS", |turn| {
            frames("", &[(&format!("call_{turn}"), "no_progress", json!({ "same": true }))])
        })
        .await;
    }

    async fn a_filtered_answer_is_decided(app: App) {
        is_decided(&app, json!({}), "PROVIDER_ERROR", |_| {
            vec![chunk(json!({ "content": "I" }), Value::Null), chunk(json!({}), json!("content_filter"))]
        })
        .await;
    }

    async fn a_tools_output_that_does_not_fit_is_decided(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let config = json!({ "outputSchema": { "required": ["missing"] } });
        let definition = app.acme.definition("echo", json!({ "toolId": tool, "config": config })).await;
        let run = app.acme.run(json!({ "definitionId": definition, "input": {} })).await;
        assert_eq!(run["reason"], "INVALID_OUTPUT", "{run}");
        let retry = format!("/v1/task-runs/{}/retry", run["id"].as_str().unwrap());
        assert_eq!(app.acme.owner.post(&retry, json!({})).await.problem(409), "not_retryable");
    }
}

on_both! {
    async fn a_call_that_a_reviewer_does_not_repeat_is_decided(app: App) {
        let owner = &app.acme.owner;
        let server = ModelServer::start(|_| Reply::Frames(frames("unused", &[])));
        let tool = app.acme.effect("send", &server, "ONCE").await;
        server.outcome("send", Raw::json(200, &json!({ "done": true })).ending(End::Cut));
        let definition = app.acme.definition("send", json!({ "toolId": tool })).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": { "case": "a" } })).await;
        ended(owner, &path, "WAITING").await;
        let open = owner.get("/v1/approvals?status=PENDING").await.expect(200);
        let decide = format!("/v1/approvals/{}/decide", open["data"][0]["id"].as_str().unwrap());
        owner.post(&decide, json!({ "decision": "REJECT" })).await.expect(200);
        assert_eq!(ended(owner, &path, "FAILED").await["reason"], "APPROVAL_REJECTED");
        assert_eq!(owner.post(&format!("{path}/retry"), json!({})).await.problem(409), "not_retryable");
        assert_eq!(server.effects().len(), 1);
    }
}

on_both! {
    manual;
    async fn a_question_that_nobody_answered_is_asked_again(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let server = ModelServer::start(|_| Reply::Frames(frames("unused", &[])));
        let tool = app.acme.effect("send", &server, "ONCE").await;
        server.outcome("send", Raw::json(200, &json!({ "done": true })).ending(End::Cut));
        let definition = app.acme.definition("send", json!({ "toolId": tool })).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": { "case": "a" } })).await;
        assert_eq!(ended(&owner, &path, "WAITING").await["reason"], "NEEDS_REVIEW");
        app.core.clock.advance(Duration::from_secs(25 * 3600));
        assert_eq!(ended(&owner, &path, "FAILED").await["reason"], "APPROVAL_EXPIRED");

        owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        assert_eq!(ended(&owner, &path, "WAITING").await["reason"], "NEEDS_REVIEW");
        assert_eq!(server.effects().len(), 1, "a retry makes no ONCE call of unknown outcome");
        let open = owner.get("/v1/approvals?status=PENDING").await.expect(200);
        let decide = format!("/v1/approvals/{}/decide", open["data"][0]["id"].as_str().unwrap());
        owner.post(&decide, json!({ "decision": "APPROVE" })).await.expect(200);
        ended(&owner, &path, "COMPLETED").await;
        assert_eq!(server.effects().len(), 2);
    }
}
