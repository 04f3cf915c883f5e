//! NUL, which PostgreSQL stores in no text: a model or a tool that sends it fails no run and loses none.

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Raw, Reply, chunk, frames};
use crate::support::{App, eventually};

/// What a NUL is stored as.
const STORED: &str = "a\u{fffd}b";
const SENT: &str = "a\u{0}b";

async fn agent(app: &App, server: &ModelServer, policy: &str) -> String {
    let agent = app.acme.model_agent("nul", server, json!({})).await;
    let tool = app.acme.effect("charge", server, "KEYED").await;
    app.acme.bind(&agent, &tool, json!({ "policy": policy })).await;
    agent
}

/// Calls with NUL in their id, name and arguments, then text with NUL.
fn server() -> ModelServer {
    let server = ModelServer::start(|conversation| {
        let calls = [(SENT, "charge", json!({ "case": SENT })), ("b", SENT, json!({}))];
        Reply::Frames(if conversation.turn == 0 { frames(SENT, &calls) } else { frames(SENT, &[]) })
    });
    server.outcome("charge", Raw::json(200, &json!({ "key\u{0}": SENT })));
    server
}

on_both! {
    async fn from_a_model_and_a_tool_it_is_replaced_where_it_is_stored(app: App) {
        let server = server();
        let agent = agent(&app, &server, "ALLOW").await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["output"], &run["attempt"]), (&json!("COMPLETED"), &json!(STORED), &json!(1)), "{run}");
        assert_eq!(server.effects()[0].body["case"], SENT, "the tool is given what the model said");
        assert_eq!(server.faults(), Vec::<String>::new());
        let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
        let steps = app.acme.owner.get(&format!("{path}/steps")).await.expect(200);
        assert_eq!(steps["data"].as_array().unwrap().len(), 4, "{steps}");
        assert_eq!(steps["data"][1]["response"]["output"]["body"]["key\u{fffd}"], STORED, "{steps}");
        let events = app.acme.owner.get(&format!("{path}/events?types=model.delta,tool.called")).await;
        assert!(events.text.contains(STORED) && !events.text.contains("\\u0000"), "{}", events.text);
    }

    async fn from_an_error_it_is_no_matter(app: App) {
        let server = ModelServer::start(|_| Reply::Raw(Raw::json(400, &json!({ "error": { "message": SENT, "code": SENT } }))));
        let agent = app.acme.model_agent("nul", &server, json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!((&run["status"], &run["reason"]), (&json!("FAILED"), &json!("PROVIDER_ERROR")), "{run}");
        let tool = app.acme.effect("broken", &server, "SAFE").await;
        server.outcome("broken", Raw::json(500, &json!({ "message": SENT })));
        let made = app.acme.owner.post(&format!("/v1/tools/{tool}/invoke"), json!({ "arguments": { "case": "x" } })).await.expect(200);
        assert_eq!(made["status"], "FAILED", "{made}");
    }

    async fn a_call_with_it_can_be_asked_about_and_resumed(app: App) {
        let server = server();
        let agent = agent(&app, &server, "ASK").await;
        let path = app.acme.create(json!({ "agentId": agent, "input": "go" })).await;
        eventually("it asks", async || app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING").await;
        let asked = app.acme.owner.get("/v1/approvals?status=PENDING").await.expect(200);
        assert_eq!(asked["data"][0]["proposal"]["arguments"]["case"], STORED, "{asked}");
        let decide = format!("/v1/approvals/{}/decide", asked["data"][0]["id"].as_str().unwrap());
        app.acme.owner.post(&decide, json!({ "decision": "APPROVE" })).await.expect(200);
        eventually("it ends", async || app.acme.owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
        assert_eq!((server.asked().len(), server.effects().len()), (2, 1));
        assert_eq!(server.faults(), Vec::<String>::new());
    }

    async fn a_stream_of_it_is_kept(app: App) {
        let pieces: Vec<String> = (0..50).map(|_| chunk(json!({ "content": "\u{0}" }), Value::Null)).collect();
        let server = ModelServer::start(move |_| {
            let end = [chunk(json!({}), json!("stop")), "[DONE]".to_owned()];
            Reply::Raw(Raw::frames(&[pieces.as_slice(), &end].concat()).split(3))
        });
        let agent = app.acme.model_agent("nul", &server, json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "go" })).await;
        assert_eq!(run["output"], "\u{fffd}".repeat(50), "{run}");
    }
}
