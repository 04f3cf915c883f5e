//! Limits that a run is created with: they narrow what its agent allows, and widen nothing.

use serde_json::{Value, json};

on_both! {
    async fn a_run_may_be_allowed_less_than_its_agent(app: App) {
        let agent = app.acme.agent("scripted", json!({ "model": "mock/script", "limits": { "maxSteps": 3, "maxCost": "1" } })).await;
        let echo = app.acme.builtin("echo", "builtin/echo").await;
        app.acme.bind(&agent, &echo, json!({})).await;
        let turn = |n: u32| json!({ "text": format!("turn {n}"), "toolCalls": [{ "name": "echo", "arguments": { "n": n } }] });
        let script = json!({ "script": (1..=9).map(turn).collect::<Vec<Value>>() });
        let run = async |limits: Value| {
            app.acme.run(json!({ "agentId": agent, "input": script, "limits": limits })).await
        };
        for (limits, reason, output) in [
            (json!({ "maxSteps": 2 }), "MAX_STEPS", json!("turn 2")),
            (json!({ "maxSteps": 9 }), "MAX_STEPS", json!("turn 3")),
            (json!({ "maxCost": "0.000000001" }), "BUDGET_EXCEEDED", Value::Null),
            (Value::Null, "MAX_STEPS", json!("turn 3")),
        ] {
            let ended = run(limits.clone()).await;
            assert_eq!((&ended["reason"], &ended["output"]), (&json!(reason), &output), "{limits}: {ended}");
        }

        // A replay of a run is allowed what the run was.
        let narrow = run(json!({ "maxSteps": 1 })).await;
        assert_eq!(narrow["limits"]["maxSteps"], 1, "{narrow}");
        let path = format!("/v1/task-runs/{}/replay?wait=30", narrow["id"].as_str().unwrap());
        let again = app.acme.owner.post(&path, json!({})).await.expect(201);
        assert_eq!((&again["output"], &again["limits"]), (&json!("turn 1"), &narrow["limits"]), "{again}");
    }

    async fn limits_that_mean_nothing_are_refused(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
        let agent = app.acme.agent("echo", json!({})).await;
        for (body, pointer) in [
            (json!({ "definitionId": definition, "limits": { "maxSteps": 1 } }), "/limits"),
            (json!({ "agentId": agent, "limits": { "maxSteps": 0 } }), "/limits/maxSteps"),
            (json!({ "agentId": agent, "limits": { "maxCost": "-1" } }), "/limits/maxCost"),
            (json!({ "agentId": agent, "limits": { "maxDepth": 1 } }), "/limits/maxDepth"),
        ] {
            let refused = app.acme.owner.post("/v1/task-runs", body.clone()).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}");
        }
    }
}
