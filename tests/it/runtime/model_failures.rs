//! How a model provider may fail, over the wire, and what becomes of the run: waited for, tried again,
//! or ended with a reason. What was finished before is never asked for again.

use std::time::Duration;

use serde_json::{Value, json};
use service::core::World;

use crate::support::model_server::{Conversation, End, ModelServer, Raw, Reply, chunk, frames};
use crate::support::{App, Backend, eventually};

/// A stand-in whose first answer to a conversation's second turn is this, and whose others are good.
fn failing_once(failure: fn() -> Raw) -> ModelServer {
    let failed = std::sync::atomic::AtomicBool::new(false);
    ModelServer::start(move |conversation| match conversation.turn {
        0 => Reply::Frames(frames("", &[("call_1", "charge", json!({ "case": "a" }))])),
        _ if failed.swap(true, std::sync::atomic::Ordering::SeqCst) => Reply::Frames(frames("done", &[])),
        _ => Reply::Raw(failure()),
    })
}

/// The agent of such a conversation.
async fn charging(app: &App, server: &ModelServer) -> String {
    let agent = app.acme.model_agent("failing", server, json!({})).await;
    let charge = app.acme.effect("charge", server, "KEYED").await;
    app.acme.bind(&agent, &charge, json!({})).await;
    agent
}

/// The provider fails once; the run goes on in the same attempt, and nothing is paid or made twice.
async fn recovers(app: &App, failure: fn() -> Raw, told: &str) -> Value {
    let server = failing_once(failure);
    let agent = charging(app, &server).await;
    let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
    assert_eq!(
        (&run["status"], &run["output"], &run["attempt"]),
        (&json!("COMPLETED"), &json!("done"), &json!(1)),
        "{run}"
    );
    let turns: Vec<usize> = server.asked().iter().map(|conversation| conversation.turn).collect();
    assert_eq!(turns, [0, 1, 1]);
    assert_eq!(server.effects().len(), 1);
    assert_eq!(server.faults(), Vec::<String>::new());
    let path = format!("/v1/task-runs/{}/events?types=model.retried", run["id"].as_str().unwrap());
    let retried = app.acme.owner.get(&path).await.expect(200)["data"].clone();
    assert_eq!(retried.as_array().unwrap().len(), 1, "{retried}");
    assert_eq!(retried[0]["data"]["error"], told, "{retried}");
    retried[0]["data"].clone()
}

/// The provider's answer is final.
async fn fails(app: &App, failure: fn() -> Raw, reason: &str, code: &str) -> (Value, Vec<Conversation>) {
    let server = ModelServer::start(move |_| Reply::Raw(failure()));
    let agent = app.acme.model_agent(&server.host, &server, json!({})).await;
    let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
    assert_eq!(
        (&run["status"], &run["reason"], &run["error"]["code"]),
        (&json!("FAILED"), &json!(reason), &json!(code)),
        "{run}"
    );
    (run, server.asked())
}

fn error(message: &str, code: &str) -> Value {
    json!({ "error": { "message": message, "code": code, "type": code } })
}

on_both! {
    async fn a_rate_limit_is_waited_for(app: App) {
        let limited = || Raw::json(429, &error("slow down", "rate_limit_exceeded")).header("retry-after", "1");
        let told = recovers(&app, limited, "RATE_LIMITED").await;
        assert_eq!(told["waitMs"], 1_000);
    }

    async fn an_error_of_the_provider_is_tried_again(app: App) {
        recovers(&app, || Raw::json(500, &json!("no")), "OVERLOADED").await;
    }

    async fn a_connection_cut_in_the_middle_is_tried_again(app: App) {
        let cut = || Raw::frames(&[chunk(json!({ "content": "half of" }), Value::Null)]).ending(End::Cut);
        recovers(&app, cut, "NETWORK").await;
    }

    async fn an_answer_torn_within_an_event_is_tried_again(app: App) {
        recovers(&app, || Raw::stream("data: {\"choices\":[{\"delta\":{\"content\":\"half"), "NETWORK").await;
    }

    async fn an_error_within_the_stream_is_tried_again(app: App) {
        let broken = || Raw::frames(&[chunk(json!({ "content": "half" }), Value::Null), error("busy", "server_error").to_string()]);
        recovers(&app, broken, "OVERLOADED").await;
    }

    async fn a_cut_behind_the_whole_answer_loses_nothing(app: App) {
        let server = ModelServer::start(|_| {
            let said = [chunk(json!({ "content": "all" }), Value::Null), chunk(json!({}), json!("stop"))];
            Reply::Raw(Raw::frames(&said).ending(End::Cut))
        });
        let agent = app.acme.model_agent("cut", &server, json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("all")), "{run}");
        assert_eq!(server.asked().len(), 1);
    }

    async fn what_is_no_event_stream_is_a_protocol_error(app: App) {
        let (run, asked) = fails(&app, || Raw::stream("data: {\"choices\": oops}\n\n"), "PROVIDER_ERROR", "model_protocol").await;
        assert_eq!(asked.len(), 1, "{run}");
        fails(&app, || Raw::stream("<html>welcome</html>"), "PROVIDER_ERROR", "model_protocol").await;
    }

    async fn a_refusal_is_final_and_quotes_no_credential(app: App) {
        let (run, asked) =
            fails(&app, || Raw::json(401, &error("bad key sk-test", "invalid_api_key")), "PROVIDER_ERROR", "model_unauthorized").await;
        assert_eq!(asked.len(), 1);
        assert!(!run.to_string().contains("sk-test"), "{run}");
        let long = || Raw::json(400, &error("too long", "context_length_exceeded"));
        fails(&app, long, "CONTEXT_OVERFLOW", "model_context_overflow").await;
    }

    async fn a_conversation_that_outgrows_the_model_is_shortened(app: App) {
        let window = 30_000;
        let server = ModelServer::start(move |conversation| {
            if conversation.body.to_string().len() > window {
                return Reply::Raw(Raw::json(400, &error("too long", "context_length_exceeded")));
            }
            Reply::Frames(match conversation.turn {
                turn @ 0..4 => frames("", &[(&format!("call_{turn}"), "charge", json!({ "case": turn.to_string() }))]),
                _ => frames("done", &[]),
            })
        });
        for _ in 0..4 {
            server.outcome("charge", Raw::json(200, &json!({ "text": "x".repeat(12_000) })));
        }
        let agent = charging(&app, &server).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("done")), "{run}");
        assert_eq!(server.effects().len(), 4);
        assert_eq!(server.faults(), Vec::<String>::new());
        let path = format!("/v1/task-runs/{}/events?types=context.shortened", run["id"].as_str().unwrap());
        let shortened = app.acme.owner.get(&path).await.expect(200)["data"].clone();
        // With three results, and again with four: half of them are too many then.
        assert_eq!(shortened.as_array().unwrap().len(), 1, "{shortened}");
        let asked = server.asked();
        let last = asked.last().unwrap();
        assert!(last.messages[2]["content"].as_str().unwrap().contains("left out"), "{}", last.body);
    }

    async fn a_model_that_fails_is_replaced_by_its_fallback(app: App) {
        let server = ModelServer::start(|conversation| match conversation.body["model"].as_str() {
            Some("first") => Reply::Raw(Raw::json(401, &error("no", "invalid_api_key"))),
            _ => Reply::Frames(frames("of the second", &[])),
        });
        let agent = app.acme.model_agent("two", &server, json!({ "model": "first", "fallbackModels": ["second"] })).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("of the second")), "{run}");
    }
}

on_both! {
    manual;
    async fn a_long_wait_is_the_runs_and_not_the_executors(app: App) {
        let server = failing_once(|| Raw::json(429, &error("later", "rate_limit_exceeded")).header("retry-after", "120"));
        let agent = charging(&app, &server).await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        eventually("the run waits in the queue", async || {
            app.acme.owner.get(&path).await.expect(200)["reason"] == "RETRY_BACKOFF"
        })
        .await;
        let waiting = app.acme.owner.get(&path).await.expect(200);
        let due: chrono::DateTime<chrono::Utc> = serde_json::from_value(waiting["availableAt"].clone()).unwrap();
        assert!(due - app.core.clock.now() >= chrono::TimeDelta::seconds(120), "{waiting}");
        app.core.clock.advance(Duration::from_secs(119));
        // The engine looks again and finds nothing due: another run passes.
        let echo = app.acme.agent("echo", json!({})).await;
        app.acme.run(json!({ "agentId": echo, "input": "x" })).await;
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["status"], "PENDING");
        app.core.clock.advance(Duration::from_secs(121));
        eventually("it goes on", async || app.acme.owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["attempt"], 2);
        let turns: Vec<usize> = server.asked().iter().map(|conversation| conversation.turn).collect();
        assert_eq!(turns, [0, 1, 1]);
        assert_eq!(server.effects().len(), 1);
    }
}

mod silence {
    use super::*;

    /// The provider begins to answer and says nothing more.
    async fn check(backend: Backend) {
        let app = App::start_with(backend, World::real(), |config| {
            config.model_silence = Duration::from_millis(300)
        })
        .await;
        let silent = || Raw::frames(&[chunk(json!({ "content": "half" }), Value::Null)]).ending(End::Silence);
        recovers(&app, silent, "TIMEOUT").await;
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
