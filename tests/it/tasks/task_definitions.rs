//! `/v1/task-definitions` as a caller sees it.

use serde_json::json;

on_both! {
    async fn a_patch_of_the_configuration_keeps_the_rest_of_it(app: App) {
        let agent = app.acme.agent("a", json!({})).await;
        let config = json!({ "retry": { "maxAttempts": 2 }, "inputSchema": { "type": "object" } });
        let id = app.acme.definition("d", json!({ "agentId": agent, "config": config })).await;
        let patch = json!({ "config": { "retry": { "baseMs": 7 }, "inputSchema": null } });
        let changed = app.acme.owner.patch(&format!("/v1/task-definitions/{id}"), patch).await.expect(200);
        assert_eq!(changed["config"]["retry"]["maxAttempts"], 2);
        assert_eq!(changed["config"]["retry"]["baseMs"], 7);
        assert_eq!(changed["config"]["inputSchema"], json!(null));
    }

    async fn what_is_wrong_is_pointed_at(app: App) {
        let agent = app.acme.agent("a", json!({})).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let foreign = app.rival.agent("a", json!({})).await;
        for (body, pointer) in [
            (json!({ "type": "AUTOMATION" }), "/agentId"),
            (json!({ "type": "AUTOMATION", "agentId": foreign }), "/agentId"),
            (json!({ "type": "AUTOMATION", "agentId": agent, "toolId": tool }), "/toolId"),
            (json!({ "type": "CHAT", "toolId": tool }), "/agentId"),
            (json!({ "type": "SCHEDULED", "agentId": agent }), "/trigger/type"),
            (json!({ "type": "NIGHTLY", "agentId": agent }), "/type"),
            (json!({ "type": "AUTOMATION", "agentId": agent, "trigger": { "type": "CRON" } }), "/trigger/type"),
            (json!({ "type": "AUTOMATION", "agentId": agent, "config": { "priority": 101 } }), "/config/priority"),
            (json!({ "type": "AUTOMATION", "agentId": agent, "config": { "inputSchema": { "type": 1 } } }), "/config/inputSchema/type"),
            (json!({ "type": "AUTOMATION", "toolId": tool, "config": { "arguments": { "a": "{{ x" } } }), "/config/arguments/a"),
        ] {
            let mut body = body;
            body["name"] = json!("d");
            let refused = app.acme.owner.post("/v1/task-definitions", body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
    }
}
