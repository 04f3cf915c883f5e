//! `/v1/agents/{id}/tools` as a caller sees it.

use serde_json::json;

on_both! {
    async fn the_same_binding_again_makes_no_version(app: App) {
        let agent = format!("/v1/agents/{}", app.acme.agent("a", json!({})).await);
        let binding = format!("{agent}/tools/{}", app.acme.builtin("echo", "builtin/echo").await);
        let version = async || app.acme.owner.get(&agent).await.expect(200)["currentVersion"].clone();
        app.acme.owner.put(&binding, json!({})).await.expect(200);
        app.acme.owner.put(&binding, json!({ "config": { "policy": "ALLOW" } })).await.expect(200);
        assert_eq!(version().await, 2);
        let bound = app.acme.owner.put(&binding, json!({ "config": { "policy": "ASK" } })).await.expect(200);
        assert_eq!(bound["config"]["policy"], "ASK");
        assert_eq!(version().await, 3);
        app.acme.owner.delete(&binding).await.expect(204);
        assert_eq!(app.acme.owner.delete(&binding).await.problem(404), "not_found");
        assert_eq!(version().await, 4);
    }

    async fn conditions_are_checked_when_they_are_saved(app: App) {
        let agent = app.acme.agent("a", json!({})).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        for (condition, pointer) in [
            (json!({ "pointer": "/a", "policy": "DENY" }), "/config/conditions/0"),
            (json!({ "pointer": "/a", "matches": "(", "policy": "DENY" }), "/config/conditions/0/matches"),
            (json!({ "pointer": "/a", "in": [], "policy": "DENY" }), "/config/conditions/0/in"),
        ] {
            let body = json!({ "config": { "conditions": [condition] } });
            let refused = app.acme.owner.put(&format!("/v1/agents/{agent}/tools/{tool}"), body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
    }

    async fn another_tenants_tool_is_not_there(app: App) {
        let agent = app.acme.agent("a", json!({})).await;
        let tool = app.rival.builtin("echo", "builtin/echo").await;
        let refused = app.acme.owner.put(&format!("/v1/agents/{agent}/tools/{tool}"), json!({})).await;
        assert_eq!(refused.problem(404), "not_found");
    }
}
