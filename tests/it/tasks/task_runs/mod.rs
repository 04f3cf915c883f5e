//! `/v1/task-runs` as a caller sees it.

mod cancel;
mod replay;
mod retry;
mod run_limits;
mod streams;
mod suspended;
mod timeouts;
mod tree_streams;

use std::time::Duration;

use serde_json::json;

on_both! {
    async fn a_tool_run_completes_with_its_output_and_journal(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
        let run = app.acme.run(json!({ "definitionId": definition, "input": { "a": [1, null, "x"] } })).await;
        assert_eq!(run["status"], "COMPLETED", "{run}");
        assert_eq!(run["output"], json!({ "a": [1, null, "x"] }));
        assert_eq!(run["attempt"], 1);
        let id = run["id"].as_str().unwrap();
        let steps = app.acme.owner.get(&format!("/v1/task-runs/{id}/steps")).await.expect(200);
        assert_eq!(steps["data"].as_array().unwrap().len(), 1);
        assert_eq!(steps["data"][0]["kind"], "TOOL");
        let events = app.acme.owner.get(&format!("/v1/task-runs/{id}/events")).await.expect(200);
        let kinds: Vec<_> = events["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds.first(), Some(&"run.created"));
        assert_eq!(kinds.last(), Some(&"run.completed"));
        let seqs: Vec<_> = events["data"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, (1..=i64::try_from(seqs.len()).unwrap()).collect::<Vec<_>>());
        assert_eq!(app.rival.owner.get(&format!("/v1/task-runs/{id}")).await.problem(404), "not_found");
    }

    async fn an_agent_turn_is_paid_once_and_marked_as_mock(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "hello there" })).await;
        assert_eq!(run["status"], "COMPLETED", "{run}");
        assert_eq!(run["output"], "hello there");
        assert_eq!(run["mock"], true);
        assert_ne!(run["cost"], "0");
        let id = run["id"].as_str().unwrap();
        let steps = app.acme.owner.get(&format!("/v1/task-runs/{id}/steps")).await.expect(200);
        assert_eq!(steps["data"].as_array().unwrap().len(), 1);
        assert_eq!(steps["data"][0]["cost"], run["cost"]);
    }
}

on_both! {
    idle;
    async fn a_stream_ends_when_its_key_is_revoked(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let run = app.acme.owner.post("/v1/task-runs", json!({ "agentId": agent })).await.expect(201);
        let key = app.acme.key(&app, &["task-runs:read"]).await;
        let path = format!("/v1/task-runs/{}/events", run["id"].as_str().unwrap());
        let request = key.request("GET", &path).header("accept", "text/event-stream");
        let mut stream = request.send().await.unwrap();
        let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
        assert!(first.contains("event: run.created\n"), "{first}");

        let keys = app.acme.owner.get("/v1/api-keys").await.expect(200);
        let id = keys["data"][0]["id"].as_str().unwrap();
        app.acme.owner.delete(&format!("/v1/api-keys/{id}")).await.expect(204);
        let rest = tokio::time::timeout(Duration::from_secs(60), stream.text()).await;
        let rest = rest.expect("the stream outlives its credential").unwrap();
        assert!(rest.contains("event: error\n") && rest.contains("\"invalid_api_key\""), "{rest}");
    }
}

on_both! {
    idle;
    async fn times_beyond_the_stored_years_are_refused(app: App) {
        let owner = &app.acme.owner;
        let agent = app.acme.agent("echo", json!({})).await;
        for year in ["0000", "-0001", "%2B10000"] {
            let time = format!("{year}-06-01T00:00:00Z");
            let listed = owner.get(&format!("/v1/task-runs?createdAfter={time}")).await.expect(422);
            assert_eq!(listed["errors"][0]["pointer"], "createdAfter", "{listed}");
            let time = time.replace("%2B", "+");
            let run = json!({ "agentId": agent, "availableAt": time });
            assert_eq!(owner.post("/v1/task-runs", run).await.expect(422)["errors"][0]["pointer"], "/availableAt");
            let key = json!({ "name": "k", "scopes": ["*"], "expiresAt": time });
            assert_eq!(owner.post("/v1/api-keys", key).await.expect(422)["errors"][0]["pointer"], "/expiresAt");
        }
        let edge = "/v1/task-runs?createdAfter=0001-01-01T00:00:00Z&createdBefore=9999-12-31T23:59:59Z";
        owner.get(edge).await.expect(200);
    }
}
