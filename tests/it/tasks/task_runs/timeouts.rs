//! The times after which a run or an attempt fails, by a clock that the test moves.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::model_server::{End, ModelServer, Raw, Reply, frames};
use crate::support::{App, Client, eventually};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A definition over an agent whose model says a word and is silent then.
async fn held(app: &App, server: &ModelServer, timeouts: Value, attempts: u32) -> String {
    let agent = app.acme.model_agent("held", server, json!({})).await;
    let config =
        json!({ "timeouts": timeouts, "retry": { "maxAttempts": attempts, "baseMs": 0, "capMs": 0 } });
    app.acme.definition("held", json!({ "agentId": agent, "config": config })).await
}

fn silent() -> ModelServer {
    ModelServer::start(|_| Reply::Held(frames("word", &[])[1..].to_vec()))
}

async fn until(owner: &Client, path: &str, status: &str) -> Value {
    eventually(status, async || owner.get(path).await.expect(200)["status"] == status).await;
    owner.get(path).await.expect(200)
}

async fn kinds(owner: &Client, path: &str) -> Vec<String> {
    let events = owner.get(&format!("{path}/events")).await.expect(200);
    events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect()
}

on_both! {
    manual;

    async fn a_run_that_is_not_started_in_time_expires(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let agent = app.acme.agent("echo", json!({})).await;
        let config = json!({ "timeouts": { "queueSeconds": 100 } });
        let definition = app.acme.definition("queued", json!({ "agentId": agent, "config": config })).await;
        owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let path = app.acme.create(json!({ "definitionId": definition, "input": "x" })).await;
        let delayed = app.core.clock.after(seconds(50));
        let delayed = app.acme.create(json!({ "definitionId": definition, "input": "x", "availableAt": delayed })).await;
        app.core.clock.advance(seconds(100));
        let run = until(&owner, &path, "FAILED").await;
        assert_eq!((&run["reason"], &run["error"]["code"], &run["attempt"]), (&json!("EXPIRED"), &json!("expired"), &json!(0)));
        assert_eq!(owner.get(&delayed).await.expect(200)["status"], "PENDING", "its time counts from when it is due");
        app.core.clock.advance(seconds(50));
        until(&owner, &delayed, "FAILED").await;

        owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        assert_eq!(until(&owner, &path, "COMPLETED").await["output"], "x", "a retry has a queue time of its own");
    }

    async fn an_attempt_that_takes_too_long_is_tried_again_until_none_is_left(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let server = silent();
        let definition = held(&app, &server, json!({ "attemptSeconds": 60, "totalSeconds": 1000 }), 2).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": "x" })).await;
        eventually("the first attempt asks", async || server.asked().len() == 1).await;
        app.core.clock.advance(seconds(59));
        assert_eq!(owner.get(&path).await.expect(200)["status"], "RUNNING");
        app.core.clock.advance(seconds(1));
        eventually("the second attempt asks", async || server.asked().len() == 2).await;
        assert_eq!(owner.get(&path).await.expect(200)["attempt"], 2);
        app.core.clock.advance(seconds(60));
        let run = until(&owner, &path, "FAILED").await;
        assert_eq!((&run["reason"], &run["error"]["code"]), (&json!("RETRIES_EXHAUSTED"), &json!("timed_out")), "{run}");
        assert_eq!(kinds(&owner, &path).await.iter().filter(|kind| *kind == "run.retrying").count(), 1);
        assert_eq!(server.asked().len(), 2);
    }

    async fn the_total_time_counts_over_all_attempts(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let server = silent();
        let definition = held(&app, &server, json!({ "attemptSeconds": 60, "totalSeconds": 100 }), 10).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": "x" })).await;
        eventually("the first attempt asks", async || server.asked().len() == 1).await;
        app.core.clock.advance(seconds(60));
        eventually("the second attempt asks", async || server.asked().len() == 2).await;
        app.core.clock.advance(seconds(40));
        let run = until(&owner, &path, "FAILED").await;
        assert_eq!((&run["reason"], &run["attempt"]), (&json!("TIMED_OUT"), &json!(2)), "{run}");
        assert_eq!(server.asked().len(), 2);

        server.release();
        owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        assert_eq!(until(&owner, &path, "COMPLETED").await["output"], "word", "a retry has a total time of its own");
    }

    async fn an_attempt_that_makes_no_progress_is_given_up(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let server = silent();
        let definition = held(&app, &server, json!({ "noProgressSeconds": 30 }), 1).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": "x" })).await;
        let heard = format!("{path}/events?types=model.delta");
        eventually("its text is stored", async || owner.get(&heard).await.text.contains("word")).await;
        app.core.clock.advance(seconds(29));
        assert_eq!(owner.get(&path).await.expect(200)["status"], "RUNNING");
        app.core.clock.advance(seconds(1));
        let run = until(&owner, &path, "FAILED").await;
        assert_eq!((&run["reason"], &run["error"]["code"]), (&json!("TIMED_OUT"), &json!("stalled")), "{run}");
    }

    async fn what_is_written_is_progress(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let server = ModelServer::start(|conversation| match (conversation.said.as_str(), conversation.turn) {
            ("work", 0) => Reply::Frames(frames("", &[("call_1", "slow", json!({ "case": "a" }))])),
            _ => Reply::Raw(Raw::frames(&frames("word", &[])[1..2]).ending(End::Silence)),
        });
        server.outcome("slow", Raw::json(200, &json!({})).ending(End::Held));
        let agent = app.acme.model_agent("slow", &server, json!({})).await;
        let slow = app.acme.effect("slow", &server, "KEYED").await;
        app.acme.bind(&agent, &slow, json!({})).await;
        let patient = |seconds: u32| json!({ "agentId": agent, "config": { "retry": { "maxAttempts": 1 },
            "timeouts": { "noProgressSeconds": seconds } } });
        let definition = app.acme.definition("thirty", patient(30)).await;
        let path = app.acme.create(json!({ "definitionId": definition, "input": "work" })).await;
        eventually("the tool is called", async || server.effects().len() == 1).await;
        app.core.clock.advance(seconds(20));
        server.release();
        eventually("the second turn is asked", async || server.asked().len() == 2).await;

        // Forty seconds after its start, and twenty after its last step, the run is looked at and left alone:
        // the engine ended another one at that time.
        let definition = app.acme.definition("twenty", patient(20)).await;
        let other = app.acme.create(json!({ "definitionId": definition, "input": "idle" })).await;
        let heard = format!("{other}/events?types=model.delta");
        eventually("its text is stored", async || owner.get(&heard).await.text.contains("word")).await;
        app.core.clock.advance(seconds(20));
        until(&owner, &other, "FAILED").await;
        assert_eq!(owner.get(&path).await.expect(200)["status"], "RUNNING");
        app.core.clock.advance(seconds(10));
        assert_eq!(until(&owner, &path, "FAILED").await["error"]["code"], "stalled");
    }
}
