//! Proof: what goes over the wire to an Anthropic provider is its protocol, and its tokens are counted
//! and priced by kind.

use serde_json::{Value, json};
use service::config::DefaultProvider;
use service::core::World;

use crate::support::model_server::{ANSWER, CACHED, KEPT, ModelServer, PROMPT, Raw, Reply, message_frames};
use crate::support::{App, Backend};

/// A model of which a million tokens cost 3 USD in, 0.30 from the cache, 3.75 into it, 15 out.
const MODEL: &str = "claude-sonnet-4-5";

/// Calls a tool, then says that it is done.
fn charging() -> ModelServer {
    ModelServer::start(|conversation| {
        Reply::Frames(match conversation.turn {
            0 => message_frames("Charging.", &[("toolu_1", "charge", json!({ "case": "a" }))]),
            _ => message_frames("done", &[]),
        })
    })
}

/// A run of an agent with that tool, whose provider is the stand-in.
async fn run(app: &App, server: &ModelServer, more: Value) -> Value {
    let provider = app.acme.provider(&server.host, "LLM_ANTHROPIC", server).await;
    let mut body = json!({ "model": MODEL, "providerId": provider, "systemPrompt": "Be brief." });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let agent = app.acme.agent(&server.host, body).await;
    let charge = app.acme.effect("charge", server, "KEYED").await;
    app.acme.bind(&agent, &charge, json!({})).await;
    app.acme.run(json!({ "agentId": agent, "input": "go" })).await
}

on_both! {
    async fn a_conversation_with_a_tool(app: App) {
        let server = charging();
        let run = run(&app, &server, json!({})).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("done")), "{run}");
        assert_eq!(server.faults(), Vec::<String>::new());
        assert_eq!(server.effects().len(), 1);
        let tokens = &run["tokensUsed"];
        let kinds = ["input", "cacheRead", "cacheWrite", "output", "reasoning"].map(|kind| tokens[kind].as_i64().unwrap());
        assert_eq!(kinds, [2 * PROMPT, 2 * CACHED, 2 * KEPT, 2 * ANSWER, 0]);
        // Two turns of 540 µUSD (300 + 15 + 75 + 150), and the tool's 0.001 USD.
        assert_eq!(run["cost"], "0.00208", "{run}");
        let last = server.asked().pop().unwrap();
        let blocks = last.messages.last().unwrap()["content"].as_array().unwrap().clone();
        assert_eq!((&blocks[0]["type"], &blocks[0]["tool_use_id"]), (&json!("tool_result"), &json!("toolu_1")));
    }

    async fn an_answer_with_a_schema_is_repaired_once(app: App) {
        let server = ModelServer::start(|conversation| {
            Reply::Frames(message_frames(if conversation.turn == 0 { "yes" } else { "{\"ok\":true}" }, &[]))
        });
        let schema = json!({ "type": "object", "required": ["ok"] });
        let run = run(&app, &server, json!({ "outputSchema": schema })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!({ "ok": true })), "{run}");
        assert_eq!(server.faults(), Vec::<String>::new());
        let asked = server.asked();
        assert!(asked[0].body["system"].to_string().contains("required"), "{}", asked[0].body["system"]);
    }

    async fn an_overloaded_provider_is_asked_again(app: App) {
        let server = ModelServer::start(|conversation| match conversation.body["model"].as_str() {
            Some("claude-opus-4-6") => Reply::Raw(Raw::json(
                529,
                &json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
            ).header("retry-after", "0")),
            _ => Reply::Frames(message_frames("of the second", &[])),
        });
        let more = json!({ "model": "claude-opus-4-6", "fallbackModels": [MODEL] });
        let run = run(&app, &server, more).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("of the second")), "{run}");
        assert_eq!(server.asked().len(), 4);
    }

    async fn an_integration_is_tested_and_needs_no_address(app: App) {
        let server = charging();
        let provider = app.acme.provider("gateway", "LLM_ANTHROPIC", &server).await;
        let tested = app.acme.owner.post(&format!("/v1/integrations/{provider}/test"), json!({})).await.expect(200);
        assert_eq!((&tested["models"], &tested["integration"]["status"]), (&json!(["stand-in"]), &json!("CONNECTED")));
        let own = json!({ "name": "own", "type": "LLM_ANTHROPIC", "credentials": { "apiKey": "sk-ant" } });
        let made = app.acme.owner.post("/v1/integrations", own).await.expect(201);
        assert_eq!(made["config"]["baseUrl"], Value::Null);
    }
}

mod operators_default {
    use super::*;

    /// `claude*` models go to the operator's Anthropic, and no other model does.
    async fn check(backend: Backend) {
        let server = charging();
        let default = DefaultProvider {
            base_url: format!("{}/v1", server.url).parse().unwrap(),
            api_key: Some("sk-test".into()),
        };
        let app = App::start_with(backend, World::real(), |config| config.anthropic = Some(default)).await;
        let charge = app.acme.effect("charge", &server, "KEYED").await;
        let agent = app.acme.agent("claude", json!({ "model": MODEL })).await;
        app.acme.bind(&agent, &charge, json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("done")), "{run}");
        let other = app.acme.agent("other", json!({ "model": "gpt-4o-mini" })).await;
        let run = app.acme.run(json!({ "agentId": other, "input": "go" })).await;
        assert_eq!(run["error"]["code"], "model_not_configured", "{run}");
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
