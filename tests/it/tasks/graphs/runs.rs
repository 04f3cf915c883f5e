//! What runs of graphs do: data from step to step, lists, conditions, failures, retries and replays.

use serde_json::{Value, json};

use crate::support::eventually;

on_both! {
    async fn data_goes_from_step_to_step(app: App) {
        let acme = &app.acme;
        acme.builtin("echo", "builtin/echo").await;
        acme.agent("summariser", json!({ "costPerRun": "0.5" })).await;
        let steps = json!([
            { "id": "fetch", "tool": "echo", "input": { "body": "text of {{ input.url }}", "relevant": true } },
            { "id": "digest", "agent": "summariser", "needs": ["fetch"], "input": "{{ steps.fetch.output.body }}" },
            { "id": "post", "tool": "echo", "needs": ["digest"], "when": "{{ steps.fetch.output.relevant }}",
              "forEach": "{{ input.rooms }}", "input": { "room": "{{ item }}", "at": "{{ index }}", "text": "{{ steps.digest.output }}" } },
            { "id": "never", "tool": "echo", "needs": ["fetch"], "when": "{{ not steps.fetch.output.relevant }}" },
        ]);
        let graph = acme.graph("news", steps).await;
        let run = acme.run_of(&graph, json!({ "url": "u", "rooms": ["red", "blue"] })).await;
        assert_eq!(run["status"], "COMPLETED", "{run}");
        let post = |room: &str, at: i64| json!({ "room": room, "at": at, "text": "text of u" });
        assert_eq!(run["output"], json!({ "post": [post("red", 0), post("blue", 1)], "never": null }));
        assert_eq!((&run["agentId"], &run["toolId"], &run["attempt"]), (&json!(null), &json!(null), &json!(1)));
        let keys: Vec<String> = acme.children(&run).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["fetch", "digest", "post[0]", "post[1]"]);
        assert_eq!((&run["cost"], run["children"].as_i64()), (&json!("0"), Some(4)));
        let tree = acme.owner.get(&format!("/v1/task-runs/{}/tree", run["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(tree["data"].as_array().unwrap().len(), 5);
        assert_eq!(tree["data"][0]["treeCost"], tree["data"][2]["cost"], "the agent is what costs: {tree}");
        assert_eq!(run["treeCost"], tree["data"][0]["treeCost"]);
        assert_ne!(run["treeCost"], "0");
        let steps = acme.owner.get(&format!("/v1/task-runs/{}/steps", run["id"].as_str().unwrap())).await.expect(200);
        let mut journal: Vec<String> = steps["data"].as_array().unwrap().iter()
            .map(|step| format!("{} {} {}", step["kind"].as_str().unwrap(), step["callId"].as_str().unwrap(), step["status"].as_str().unwrap()))
            .collect();
        journal.sort();
        assert_eq!(journal, [
            "AGENT digest COMPLETED", "TOOL fetch COMPLETED", "TOOL never SKIPPED", "TOOL post COMPLETED",
            "TOOL post[0] COMPLETED", "TOOL post[1] COMPLETED",
        ]);
        let path = format!("/v1/task-runs/{}/tree", run["id"].as_str().unwrap());
        assert_eq!(app.rival.owner.get(&path).await.problem(404), "not_found");
    }

    async fn fifty_items_side_by_side_keep_their_order(app: App) {
        app.acme.builtin("echo", "builtin/echo").await;
        let steps = json!([{ "id": "each", "tool": "echo", "forEach": "{{ input }}", "input": { "n": "{{ item * 1 }}" } }]);
        let refused = json!({ "name": "x", "type": "AUTOMATION", "config": { "steps": steps } });
        app.acme.owner.post("/v1/task-definitions", refused).await.expect(422);
        let steps = json!([{ "id": "each", "tool": "echo", "forEach": "{{ input }}", "input": { "n": "{{ item }}" } }]);
        let graph = app.acme.graph("each", steps).await;
        let input: Vec<i64> = (0..50).rev().collect();
        let run = app.acme.run_of(&graph, json!(input)).await;
        let expected: Vec<Value> = input.iter().map(|n| json!({ "n": n })).collect();
        assert_eq!(run["output"]["each"], json!(expected), "{run}");
        assert_eq!(run["children"], 50);
    }

    async fn a_hundred_children_and_no_more(app: App) {
        app.acme.builtin("echo", "builtin/echo").await;
        let steps = json!([
            { "id": "one", "tool": "echo" },
            { "id": "each", "tool": "echo", "needs": ["one"], "forEach": "{{ input.list }}", "input": {} },
        ]);
        let graph = app.acme.graph("each", steps).await;
        let run = app.acme.run_of(&graph, json!({ "list": vec![1; 99] })).await;
        assert_eq!((&run["status"], &run["children"]), (&json!("COMPLETED"), &json!(100)), "{run}");
        let run = app.acme.run_of(&graph, json!({ "list": vec![1; 100] })).await;
        assert_eq!((&run["status"], &run["reason"]), (&json!("FAILED"), &json!("DEPENDENCY_FAILED")), "{run}");
        assert!(run["error"]["message"].as_str().unwrap().contains("too_many_children"), "{run}");
    }

    async fn a_failed_step_ends_the_graph_or_is_told(app: App) {
        let acme = &app.acme;
        acme.builtin("echo", "builtin/echo").await;
        acme.builtin("sleep", "builtin/sleep").await;
        // Its arguments do not fit: it fails for good.
        let steps = |on_error: &str| json!([
            { "id": "bad", "tool": "sleep", "input": { "ms": -1 }, "onError": on_error },
            { "id": "after", "tool": "echo", "needs": ["bad"],
              "input": { "code": "{{ steps.bad.error.code }}", "output": "{{ steps.bad.output }}" } },
        ]);
        let fails = acme.graph("fails", steps("FAIL")).await;
        let run = acme.run_of(&fails, json!({})).await;
        assert_eq!((&run["status"], &run["reason"], &run["error"]["code"]), (&json!("FAILED"), &json!("DEPENDENCY_FAILED"), &json!("step_failed")), "{run}");
        assert_eq!(acme.children(&run).await.len(), 1);
        let goes_on = acme.graph("goes-on", steps("CONTINUE")).await;
        let run = acme.run_of(&goes_on, json!({})).await;
        assert_eq!(run["output"]["after"], json!({ "code": "invalid_arguments", "output": null }), "{run}");
    }

    async fn a_retry_starts_what_failed_and_keeps_the_rest(app: App) {
        let acme = &app.acme;
        acme.builtin("echo", "builtin/echo").await;
        let agent = acme.agent("slow", json!({})).await;
        acme.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let steps = json!([
            { "id": "first", "tool": "echo", "input": { "n": 1 } },
            { "id": "second", "agent": "slow", "needs": ["first"], "input": "hello" },
        ]);
        let graph = acme.graph("two", steps).await;
        let path = acme.create(json!({ "definitionId": graph })).await;
        let run = acme.owner.get(&path).await.expect(200);
        eventually("the second step is queued", async || acme.children(&run).await.len() == 2).await;
        let children = acme.children(&run).await;
        let second = format!("/v1/task-runs/{}", children[1].1["id"].as_str().unwrap());
        assert_eq!(acme.owner.post(&format!("{second}/retry"), json!({})).await.problem(409), "child_run");
        acme.owner.post(&format!("{second}/cancel"), json!({})).await.expect(200);
        eventually("the graph fails", async || acme.again(&run).await["status"] == "FAILED").await;
        acme.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        acme.owner.post(&format!("{path}/retry"), json!({})).await.expect(200);
        eventually("the graph completes", async || acme.again(&run).await["status"] == "COMPLETED").await;
        let after = acme.children(&run).await;
        assert_eq!(after.len(), 2, "no step has two children");
        assert_eq!((&after[0].1["id"], &after[0].1["attempt"]), (&children[0].1["id"], &json!(1)), "the first was kept");
        assert_eq!(after[1].1["status"], "COMPLETED");
        assert_eq!(acme.again(&run).await["output"], json!({ "second": "hello" }));
    }

    async fn a_replay_from_a_step_takes_over_what_was_before(app: App) {
        let acme = &app.acme;
        acme.builtin("echo", "builtin/echo").await;
        let steps = json!([
            { "id": "list", "tool": "echo", "forEach": "{{ input.names }}", "input": { "name": "{{ item }}" } },
            { "id": "join", "tool": "echo", "needs": ["list"],
              "input": { "of": "{{ steps.list.output | length }}", "with": "{{ input.with }}" } },
        ]);
        let graph = acme.graph("two", steps).await;
        let run = acme.run_of(&graph, json!({ "names": ["a", "b"], "with": 1 })).await;
        let replay = format!("/v1/task-runs/{}/replay?wait=30", run["id"].as_str().unwrap());
        let body = json!({ "fromStep": "join", "input": { "names": ["other"], "with": 2 } });
        let again = acme.owner.post(&replay, body).await.expect(201);
        assert_eq!(again["output"]["join"], json!({ "of": 2, "with": 2 }), "{again}");
        assert_eq!((&again["children"], &again["replayOf"]), (&json!(1), &run["id"]));
        let whole = acme.owner.post(&replay, json!({})).await.expect(201);
        assert_eq!(whole["children"], 3);
        for (body, code) in [(json!({ "fromStep": "nope" }), "not_found"), (json!({ "fromStep": "" }), "length")] {
            let refused = acme.owner.post(&replay, body).await.expect(422);
            assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]), (&json!("/fromStep"), &json!(code)));
        }
        let child = acme.children(&run).await.remove(0).1;
        let replay = format!("/v1/task-runs/{}/replay?wait=30", child["id"].as_str().unwrap());
        let alone = acme.owner.post(&replay, json!({})).await.expect(201);
        assert_eq!((&alone["status"], &alone["parentRunId"], &alone["depth"]), (&json!("COMPLETED"), &json!(null), &json!(0)));
        assert_eq!(acme.owner.post(&replay, json!({ "fromStep": "join" })).await.expect(422)["errors"][0]["pointer"], "/fromStep");
    }

    async fn the_output_is_what_the_definition_says(app: App) {
        let acme = &app.acme;
        acme.builtin("echo", "builtin/echo").await;
        let config = json!({
            "steps": [{ "id": "a", "tool": "echo", "input": { "n": "{{ input.n }}" } }],
            "output": { "double": ["{{ steps.a.output.n }}", "{{ steps.a.output.n }}"] },
            "outputSchema": { "properties": { "double": { "items": { "type": "integer" } } } },
        });
        let graph = acme.definition("out", json!({ "config": config })).await;
        assert_eq!(acme.run_of(&graph, json!({ "n": 4 })).await["output"], json!({ "double": [4, 4] }));
        let wrong = acme.run_of(&graph, json!({ "n": "x" })).await;
        assert_eq!(wrong["reason"], "INVALID_OUTPUT", "{wrong}");
        let missing = acme.run_of(&graph, json!({})).await;
        assert_eq!(missing["error"]["code"], "step_failed", "{missing}");
    }
}
