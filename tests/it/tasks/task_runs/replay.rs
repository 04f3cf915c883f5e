//! `POST /v1/task-runs/{id}/replay`: a new run, admitted as any new run.

use serde_json::json;

on_both! {
    async fn a_replay_is_a_new_run_with_what_was_changed(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let body = json!({ "agentId": agent, "input": "one", "metadata": { "k": "v" }, "priority": 7 });
        let run = app.acme.run(body).await;
        let replay = format!("/v1/task-runs/{}/replay", run["id"].as_str().unwrap());
        app.acme.owner.patch(&format!("/v1/agents/{agent}"), json!({ "systemPrompt": "Other." })).await.expect(200);

        let same = app.acme.owner.post(&format!("{replay}?wait=30"), json!({})).await.expect(201);
        assert_ne!(same["id"], run["id"]);
        for (field, of) in [("replayOf", "id"), ("input", "input"), ("agentVersion", "agentVersion"), ("metadata", "metadata"), ("priority", "priority")] {
            assert_eq!(same[field], run[of], "{field}");
        }
        assert_eq!((&same["status"], &same["attempt"]), (&json!("COMPLETED"), &json!(1)));
        let other = json!({ "input": "two", "agentVersion": 2 });
        let other = app.acme.owner.post(&format!("{replay}?wait=30"), other).await.expect(201);
        assert_eq!((&other["output"], &other["agentVersion"]), (&json!("two"), &json!(2)));
        assert_eq!(app.acme.owner.get(&format!("/v1/task-runs/{}", run["id"].as_str().unwrap())).await.expect(200), run);

        assert_eq!(app.rival.owner.post(&replay, json!({})).await.problem(404), "not_found");
        let missing = app.acme.owner.post(&replay, json!({ "agentVersion": 99 })).await.expect(422);
        assert_eq!(missing["errors"][0]["pointer"], "/agentVersion");
        let once = app.acme.owner.post_once(&replay, "k", json!({})).await.expect(201);
        assert_eq!(app.acme.owner.post_once(&replay, "k", json!({})).await.expect(201)["id"], once["id"]);
    }

    async fn a_replay_passes_admission_again(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let schema = json!({ "type": "string" });
        let definition = app.acme.definition("text", json!({ "agentId": agent, "config": { "inputSchema": schema } })).await;
        let run = app.acme.run(json!({ "definitionId": definition, "input": "one" })).await;
        let replay = format!("/v1/task-runs/{}/replay", run["id"].as_str().unwrap());
        let wrong = app.acme.owner.post(&replay, json!({ "input": 1 })).await.expect(422);
        assert_eq!(wrong["errors"][0]["pointer"], "/input");
        let tightened = json!({ "config": { "inputSchema": { "type": "string", "minLength": 10 } } });
        app.acme.owner.patch(&format!("/v1/task-definitions/{definition}"), tightened).await.expect(200);
        app.acme.owner.post(&replay, json!({})).await.problem(422);
        app.acme.owner.delete(&format!("/v1/task-definitions/{definition}")).await.expect(204);
        assert_eq!(app.acme.owner.post(&replay, json!({})).await.problem(409), "target_gone");
    }

    async fn a_live_run_is_not_replayed(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        app.acme.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let path = app.acme.create(json!({ "agentId": agent, "input": "x" })).await;
        assert_eq!(app.acme.owner.post(&format!("{path}/replay"), json!({})).await.problem(409), "invalid_transition");
    }
}
