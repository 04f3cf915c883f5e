//! `/v1/task-runs` as a caller sees it.

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
