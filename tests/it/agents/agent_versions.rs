//! `/v1/agents/{id}/versions` as a caller sees it.

use serde_json::json;

on_both! {
    async fn activating_a_version_restores_its_behaviour_and_its_tools(app: App) {
        let agent = format!("/v1/agents/{}", app.acme.agent("a", json!({ "systemPrompt": "one" })).await);
        for name in ["b", "a", "c"] {
            let tool = app.acme.builtin(name, "builtin/echo").await;
            app.acme.owner.put(&format!("{agent}/tools/{tool}"), json!({})).await.expect(200);
        }
        app.acme.owner.patch(&agent, json!({ "systemPrompt": "two" })).await.expect(200);
        let activate = async |number: i32| {
            app.acme.owner.post(&format!("{agent}/versions/{number}/activate"), json!({})).await
        };
        let tools = async || {
            let tools = app.acme.owner.get(&format!("{agent}/tools")).await.expect(200);
            tools["data"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let first = activate(1).await.expect(200);
        assert_eq!((&first["systemPrompt"], &first["currentVersion"]), (&json!("one"), &json!(1)));
        assert!(tools().await.is_empty());
        activate(5).await.expect(200);
        assert_eq!(tools().await, ["b", "a", "c"]);
        let next = app.acme.owner.patch(&agent, json!({ "systemPrompt": "three" })).await.expect(200);
        assert_eq!(next["currentVersion"], 6);
        let diff = app.acme.owner.get(&format!("{agent}/versions/6/diff?against=5")).await.expect(200);
        assert_eq!(diff["changes"], json!([{ "path": "/config/systemPrompt", "from": "two", "to": "three" }]));
    }

    async fn a_version_whose_tool_is_gone_is_not_activated(app: App) {
        let agent = format!("/v1/agents/{}", app.acme.agent("a", json!({})).await);
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let binding = format!("{agent}/tools/{tool}");
        app.acme.owner.put(&binding, json!({})).await.expect(200);
        assert_eq!(app.acme.owner.delete(&format!("/v1/tools/{tool}")).await.problem(409), "in_use");
        app.acme.owner.delete(&binding).await.expect(204);
        app.acme.owner.delete(&format!("/v1/tools/{tool}")).await.expect(204);
        let refused = app.acme.owner.post(&format!("{agent}/versions/2/activate"), json!({})).await;
        assert_eq!(refused.problem(409), "version_not_usable");
    }

    async fn only_note_and_labels_of_a_version_change(app: App) {
        let agent = format!("/v1/agents/{}", app.acme.agent("a", json!({})).await);
        let version = format!("{agent}/versions/1");
        let noted = app.acme.owner.patch(&version, json!({ "note": "n", "labels": ["stable"] })).await.expect(200);
        assert_eq!((&noted["note"], &noted["labels"]), (&json!("n"), &json!(["stable"])));
        app.acme.owner.patch(&version, json!({ "snapshot": {} })).await.expect(422);
        assert_eq!(app.acme.owner.get(&format!("{agent}/versions/2")).await.problem(404), "not_found");
        assert_eq!(app.rival.owner.get(&version).await.problem(404), "not_found");
    }
}
