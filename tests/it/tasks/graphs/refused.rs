//! What is wrong with a graph is said when it is saved, with the place of it.

use serde_json::json;

on_both! {
    idle;

    async fn what_is_wrong_with_a_graph_is_pointed_at(app: App) {
        let owner = &app.acme.owner;
        app.acme.builtin("echo", "builtin/echo").await;
        let agent = app.acme.agent("writer", json!({})).await;
        let foreign = app.rival.agent("other", json!({})).await;
        let one = json!([{ "id": "a", "tool": "echo" }]);
        for (body, pointer, code) in [
            (json!({ "config": { "steps": [{ "id": "a", "tool": "nope" }] } }), "/config/steps/0/tool", "not_found"),
            (json!({ "config": { "steps": [{ "id": "a", "agent": foreign }] } }), "/config/steps/0/agent", "not_found"),
            (json!({ "config": { "steps": [{ "id": "a", "agent": "other" }] } }), "/config/steps/0/agent", "not_found"),
            (json!({ "config": { "steps": [{ "id": "a", "definition": "x" }] } }), "/config/steps/0/definition", "cycle"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "needs": ["b"] }] } }), "/config/steps/0/needs/0", "unknown_step"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "needs": ["a"] }] } }), "/config/steps/0/needs/0", "cycle"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "input": { "x": "{{ steps.b.output }}" } }] } }), "/config/steps/0/input/x", "unknown_step"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "when": "{{ a b }}" }] } }), "/config/steps/0/when", "template"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "agent": "writer" }] } }), "/config/steps/0", "target"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "color": 1 }] } }), "/config/steps/0/color", "unknown_field"),
            (json!({ "config": { "steps": [{ "id": "a", "tool": "echo", "timeouts": { "totalSeconds": 0 } }] } }), "/config/steps/0/timeouts/totalSeconds", "range"),
            (json!({ "config": { "steps": one }, "agentId": agent }), "/config/steps", "exclusive"),
            (json!({ "config": { "steps": one, "arguments": {} } }), "/config/arguments", "exclusive"),
            (json!({ "config": { "steps": one }, "type": "CHAT" }), "/agentId", "required"),
            (json!({ "config": { "output": "{{ input }}" }, "agentId": agent }), "/config/output", "exclusive"),
            (json!({ "config": { "steps": one, "output": "{{ steps.b.output }}" } }), "/config/output", "unknown_step"),
            (json!({ "config": { "steps": [] } }), "/agentId", "required"),
        ] {
            let mut body = body;
            body["name"] = json!("x");
            body["type"] = body.get("type").cloned().unwrap_or(json!("AUTOMATION"));
            let refused = owner.post("/v1/task-definitions", body.clone()).await.expect(422);
            let error = &refused["errors"][0];
            assert_eq!((error["pointer"].as_str(), error["code"].as_str()), (Some(pointer), Some(code)), "{body}: {refused}");
        }
    }

    async fn definitions_lead_nowhere_back(app: App) {
        let owner = &app.acme.owner;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let first = app.acme.graph("first", json!([{ "id": "a", "tool": tool }])).await;
        app.acme.graph("second", json!([{ "id": "a", "definition": "first" }])).await;
        let third = app.acme.graph("third", json!([{ "id": "a", "definition": "second" }])).await;
        for target in ["third", third.as_str()] {
            let patch = json!({ "config": { "steps": [{ "id": "a", "tool": "echo" }, { "id": "b", "definition": target }] } });
            let refused = owner.patch(&format!("/v1/task-definitions/{first}"), patch).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], "/config/steps/1/definition", "{refused}");
            assert_eq!(refused["errors"][0]["code"], "cycle");
        }
        app.acme.graph("fourth", json!([{ "id": "a", "definition": "third" }])).await;
        let deep = json!({ "name": "fifth", "type": "AUTOMATION", "config": { "steps": [{ "id": "a", "definition": "fourth" }] } });
        assert_eq!(owner.post("/v1/task-definitions", deep).await.expect(422)["errors"][0]["code"], "too_deep");
    }
}
