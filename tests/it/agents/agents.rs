//! `/v1/agents` as a caller sees it.

use serde_json::json;

on_both! {
    async fn a_change_of_behaviour_makes_a_version_and_other_changes_make_none(app: App) {
        let agent = format!("/v1/agents/{}", app.acme.agent("Support Bot", json!({})).await);
        let renamed = json!({ "name": "New", "metadata": { "team": "x" }, "maxConcurrent": 2 });
        let renamed = app.acme.owner.patch(&agent, renamed).await.expect(200);
        assert_eq!((&renamed["currentVersion"], &renamed["revision"]), (&json!(1), &json!(2)));
        let changes = json!({ "systemPrompt": "hi", "limits": { "maxSteps": 5 }, "temperature": null });
        let changed = app.acme.owner.patch(&agent, changes.clone()).await.expect(200);
        assert_eq!(changed["currentVersion"], 2);
        assert_eq!(changed["limits"]["maxSteps"], 5);
        assert_eq!(changed["limits"]["maxToolCalls"], 50);
        let again = app.acme.owner.patch(&agent, changes).await.expect(200);
        assert_eq!(again["revision"], changed["revision"]);
    }

    async fn what_is_wrong_is_pointed_at(app: App) {
        for (more, pointer) in [
            (json!({ "workspaceId": app.acme.id }), "/workspaceId"),
            (json!({ "providerId": app.acme.id }), "/providerId"),
            (json!({ "model": "mock/none" }), "/model"),
            (json!({ "knowledgeBaseIds": [app.acme.id] }), "/knowledgeBaseIds/0"),
            (json!({ "outputSchema": { "type": 5 } }), "/outputSchema/type"),
            (json!({ "limits": { "maxSteps": 0 } }), "/limits/maxSteps"),
            (json!({ "temperature": 3 }), "/temperature"),
            (json!({ "slug": "A b" }), "/slug"),
            (json!({ "tenantId": app.rival.id }), "/tenantId"),
        ] {
            let mut body = json!({ "name": "x", "type": "CHATBOT" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let refused = app.acme.owner.post("/v1/agents", body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
    }

    async fn slugs_are_made_from_names_and_stay_unique(app: App) {
        let first = app.acme.agent("Support Bot", json!({})).await;
        let second = app.acme.agent("Support Bot", json!({})).await;
        let slug = async |id: &str| app.acme.owner.get(&format!("/v1/agents/{id}")).await.expect(200)["slug"].clone();
        assert_eq!(slug(&first).await, "support-bot");
        assert_ne!(slug(&second).await, "support-bot");
        let taken = json!({ "name": "x", "type": "CHATBOT", "slug": "support-bot" });
        assert_eq!(app.acme.owner.post("/v1/agents", taken.clone()).await.problem(409), "slug_taken");
        app.rival.owner.post("/v1/agents", taken).await.expect(201);
    }

    async fn pause_and_resume_have_a_precondition(app: App) {
        let agent = format!("/v1/agents/{}", app.acme.agent("a", json!({})).await);
        let act = async |action: &str| app.acme.owner.post(&format!("{agent}/{action}"), json!({})).await;
        assert_eq!(act("resume").await.problem(409), "invalid_transition");
        assert_eq!(act("pause").await.expect(200)["status"], "PAUSED");
        assert_eq!(act("pause").await.problem(409), "invalid_transition");
        assert_eq!(act("resume").await.expect(200)["status"], "ACTIVE");
        assert_eq!(app.rival.owner.post(&format!("{agent}/pause"), json!({})).await.problem(404), "not_found");
    }

    async fn an_agent_that_a_definition_names_stays(app: App) {
        let id = app.acme.agent("a", json!({})).await;
        let definition = app.acme.definition("d", json!({ "agentId": id })).await;
        let agent = format!("/v1/agents/{id}");
        assert_eq!(app.acme.owner.delete(&agent).await.problem(409), "in_use");
        app.acme.owner.delete(&format!("/v1/task-definitions/{definition}")).await.expect(204);
        app.acme.owner.delete(&agent).await.expect(204);
        assert_eq!(app.acme.owner.get(&agent).await.problem(404), "not_found");
    }

    async fn an_array_is_no_object_wherever_one_stands(app: App) {
        let owner = &app.acme.owner;
        let agent = json!({ "name": "a", "type": "TASK_RUNNER", "model": "mock/echo" });
        let with = |field: &str, value: serde_json::Value| {
            let mut agent = agent.clone();
            agent[field] = value;
            agent
        };
        for (body, pointer) in [
            (json!(["a", null, null, "TASK_RUNNER"]), ""),
            (with("limits", json!([3, 2])), "/limits"),
            (with("limits", json!([])), "/limits"),
        ] {
            let refused = owner.post("/v1/agents", body.clone()).await.expect(422);
            assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["message"]),
                (&json!(pointer), &json!("must be an object")), "{body}");
            assert!(!refused.to_string().contains("struct"), "{refused}");
        }
        let refused = owner.post("/v1/agents", with("maxTokens", json!(1.5))).await.expect(422);
        assert_eq!(refused["errors"][0]["message"], "must be a whole number that is not negative");
        let id = app.acme.agent("b", json!({})).await;
        let retry = json!({ "name": "d", "type": "AUTOMATION", "agentId": id, "config": { "retry": [1] } });
        let refused = owner.post("/v1/task-definitions", retry).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/config/retry");
        let definition = app.acme.definition("e", json!({ "agentId": id })).await;
        let patch = json!({ "config": { "retry": [1] } });
        let refused = owner.patch(&format!("/v1/task-definitions/{definition}"), patch).await.expect(422);
        assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["message"]), (&json!("/config/retry"), &json!("must be an object")));
    }
}
