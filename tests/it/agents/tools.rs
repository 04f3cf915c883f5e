//! `/v1/tools` as a caller sees it.

use serde_json::json;

on_both! {
    async fn a_tool_that_no_longer_only_reads_is_no_longer_safe(app: App) {
        let config = json!({ "method": "GET", "url": "https://api.example.com/" });
        let tool = json!({ "name": "reader", "type": "API", "config": config });
        let tool = app.acme.owner.post("/v1/tools", tool).await.expect(201);
        assert_eq!((&tool["sideEffect"], &tool["timeoutSeconds"]), (&json!("SAFE"), &json!(30)));
        let path = format!("/v1/tools/{}", tool["id"].as_str().unwrap());
        let changed = app.acme.owner.patch(&path, json!({ "config": { "method": "POST" } })).await.expect(200);
        assert_eq!(changed["sideEffect"], "ONCE");
        assert_eq!(changed["config"]["url"], "https://api.example.com/");
    }

    async fn what_is_wrong_is_pointed_at(app: App) {
        let provider = json!({ "name": "p", "type": "LLM_OPENAI" });
        let provider = app.acme.owner.post("/v1/integrations", provider).await.expect(201)["id"].clone();
        let secret = json!([{ "header": "x-key", "integrationId": provider }]);
        let api = |url: &str| json!({ "method": "GET", "url": url });
        for (body, pointer) in [
            (json!({ "name": "a b", "type": "FUNCTION", "config": { "function": "builtin/echo" } }), "/name"),
            (json!({ "name": "a", "type": "FUNCTION", "config": { "function": "builtin/no" } }), "/config/function"),
            (json!({ "name": "a", "type": "API", "config": api("http://10.0.0.1/") }), "/config/url"),
            (json!({ "name": "a", "type": "API", "config": api("https://x.example/"), "schema": { "type": "array" } }), "/schema/type"),
            (json!({ "name": "a", "type": "API", "config": { "method": "GET", "url": "https://x.example/", "secrets": secret } }), "/config/secrets/0/integrationId"),
            (json!({ "name": "a", "type": "BROWSER", "config": {} }), "/type"),
        ] {
            let refused = app.acme.owner.post("/v1/tools", body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
    }

    async fn a_delete_of_a_named_revision_that_loses_the_race_says_so(app: App) {
        for n in 0..5 {
            let name = format!("t{n}");
            let path = format!("/v1/tools/{}", app.acme.builtin(&name, "builtin/echo").await);
            let owner = &app.acme.owner;
            let delete = owner.send(owner.request("DELETE", &path).header("if-match", "\"1\""));
            let (changed, deleted) = tokio::join!(owner.patch(&path, json!({ "description": "New." })), delete);
            match deleted.status {
                204 => assert!(matches!(changed.status, 200 | 404), "{}", changed.text),
                _ => assert_eq!(deleted.problem(412), "revision_changed"),
            }
        }
    }
}
