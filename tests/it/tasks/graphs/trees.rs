//! Trees of runs: parents hold no slot, a cancel reaches everything, agents call agents.

use serde_json::{Value, json};
use service::core::World;

use crate::support::{App, Backend, Tenant, eventually};

/// Definitions in each other, four deep, with a tool at the bottom.
async fn nested(acme: &Tenant) -> String {
    acme.builtin("echo", "builtin/echo").await;
    acme.graph("d1", json!([{ "id": "a", "tool": "echo", "input": { "deep": true } }])).await;
    acme.graph("d2", json!([{ "id": "a", "definition": "d1" }])).await;
    acme.graph("d3", json!([{ "id": "a", "definition": "d2" }, { "id": "b", "definition": "d1" }])).await;
    acme.graph("d4", json!([{ "id": "a", "definition": "d3" }])).await
}

async fn one_slot(backend: Backend) {
    let app = App::start_with(backend, World::real(), |config| config.engine.concurrency = 1).await;
    let graph = nested(&app.acme).await;
    let run = app.acme.run_of(&graph, json!({})).await;
    assert_eq!(run["status"], "COMPLETED", "{run}");
    let tree =
        app.acme.owner.get(&format!("/v1/task-runs/{}/tree", run["id"].as_str().unwrap())).await.expect(200);
    let depths: Vec<_> =
        tree["data"].as_array().unwrap().iter().map(|run| run["depth"].as_i64().unwrap()).collect();
    assert_eq!(depths, [0, 1, 2, 3, 4, 2, 3]);
    let mut deepest = run["output"].clone();
    for _ in 0..4 {
        deepest = deepest["a"].clone();
    }
    assert_eq!(deepest, json!({ "deep": true }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slot_runs_a_tree_of_four_levels_on_sqlite() {
    one_slot(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slot_runs_a_tree_of_four_levels_on_postgres() {
    one_slot(Backend::Postgres).await;
}

/// A tool that is this agent.
async fn as_tool(acme: &Tenant, name: &str, agent: &str) -> String {
    let body =
        json!({ "name": name, "description": "An agent.", "type": "AGENT", "config": { "agentId": agent } });
    acme.owner.post("/v1/tools", body).await.expect(201)["id"].as_str().unwrap().to_owned()
}

fn kinds(steps: &Value) -> Vec<&str> {
    steps["data"].as_array().unwrap().iter().map(|step| step["kind"].as_str().unwrap()).collect()
}

on_both! {
    async fn a_tree_ends_with_its_root(app: App) {
        let acme = &app.acme;
        let agent = acme.agent("slow", json!({})).await;
        acme.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        acme.builtin("sleep", "builtin/sleep").await;
        acme.graph("inner", json!([{ "id": "a", "agent": "slow", "input": "x" }])).await;
        let steps = json!([{ "id": "in", "definition": "inner" }, { "id": "nap", "tool": "sleep", "input": { "ms": 30000 } }]);
        let graph = acme.graph("outer", steps).await;
        let path = acme.create(json!({ "definitionId": graph })).await;
        let tree = async || acme.owner.get(&format!("{path}/tree")).await.expect(200)["data"].as_array().unwrap().clone();
        eventually("all four run or wait", async || {
            let runs = tree().await;
            runs.len() == 4 && runs.iter().any(|run| run["status"] == "RUNNING" && run["childKey"] == "nap")
        }).await;
        let cancelled = acme.owner.post(&format!("{path}/cancel"), json!({})).await.expect(200);
        assert_eq!((&cancelled["status"], &cancelled["reason"]), (&json!("CANCELLED"), &json!("BY_USER")));
        eventually("nobody outlives it", async || tree().await.iter().all(|run| run["status"] == "CANCELLED")).await;
        let reasons: Vec<_> = tree().await.iter().map(|run| run["reason"].as_str().unwrap().to_owned()).collect();
        assert_eq!(reasons, ["BY_USER", "BY_PARENT", "BY_PARENT", "BY_PARENT"]);
    }

    async fn agents_call_agents_side_by_side(app: App) {
        let acme = &app.acme;
        let helper = acme.agent("helper", json!({ "type": "TOOL", "costPerRun": "0.25" })).await;
        let boss = acme.agent("boss", json!({ "model": "mock/script" })).await;
        let tool = as_tool(acme, "ask_helper", &helper).await;
        acme.bind(&boss, &tool, json!({})).await;
        let call = |q: &str| json!({ "name": "ask_helper", "arguments": { "question": q } });
        let input = json!({ "script": [{ "toolCalls": [call("one"), call("two")] }, { "text": "done" }] });
        let run = acme.run(json!({ "agentId": boss, "input": input })).await;
        assert_eq!((&run["status"], &run["output"]), (&json!("COMPLETED"), &json!("done")), "{run}");
        let children = acme.children(&run).await;
        assert_eq!(children.len(), 2);
        let starts: Vec<_> = children.iter().map(|(_, child)| child["createdAt"].clone()).collect();
        let ends: Vec<_> = children.iter().map(|(_, child)| child["completedAt"].as_str().unwrap().to_owned()).collect();
        assert!(starts.iter().all(|start| ends.iter().all(|end| start.as_str().unwrap() <= end.as_str())), "{children:?}");
        for (_, child) in &children {
            assert_eq!((&child["agentId"], &child["createdBy"], &child["depth"]), (&json!(helper), &run["createdBy"], &json!(1)));
        }
        let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
        let steps = acme.owner.get(&format!("{path}/steps")).await.expect(200);
        assert_eq!(kinds(&steps), ["MODEL", "AGENT", "AGENT", "MODEL"]);
        assert_eq!(steps["data"][1]["response"]["output"], json!("{\"question\":\"one\"}"));
        assert_eq!(run["attempt"], 1);
        let tree: Value = acme.owner.get(&format!("{path}/tree")).await.expect(200);
        let cost = |at: usize| tree["data"][at]["cost"].as_str().unwrap().parse::<f64>().unwrap();
        let sum = cost(0) + cost(1) + cost(2);
        assert!((run["treeCost"].as_str().unwrap().parse::<f64>().unwrap() - sum).abs() < 1e-9, "{tree}");
    }

    async fn a_limit_of_cost_holds_for_the_tree(app: App) {
        let acme = &app.acme;
        let helper = acme.agent("helper", json!({ "type": "TOOL", "costPerRun": "0.25" })).await;
        let boss = acme.agent("boss", json!({ "model": "mock/script", "limits": { "maxCost": "0.4" } })).await;
        let tool = as_tool(acme, "ask_helper", &helper).await;
        acme.bind(&boss, &tool, json!({})).await;
        let call = |q: &str| json!({ "name": "ask_helper", "arguments": { "question": q } });
        // One of them fits into the limit; two do not, and each has half of it.
        let input = json!({ "script": [{ "toolCalls": [call("one"), call("two")] }, { "text": "done" }] });
        let run = acme.run(json!({ "agentId": boss, "input": input })).await;
        let children = acme.children(&run).await;
        let reasons: Vec<_> = children.iter().map(|(_, child)| child["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["BUDGET_EXCEEDED", "BUDGET_EXCEEDED"], "{run}");
        assert!(run["treeCost"].as_str().unwrap().parse::<f64>().unwrap() <= 0.4, "{run}");
        let input = json!({ "script": [{ "toolCalls": [call("one")] }, { "toolCalls": [call("three")] }, { "text": "done" }] });
        let run = acme.run(json!({ "agentId": boss, "input": input })).await;
        let children = acme.children(&run).await;
        let reasons: Vec<_> = children.iter().map(|(_, child)| child["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["END_TURN", "BUDGET_EXCEEDED"], "{run}");
        assert!(run["treeCost"].as_str().unwrap().parse::<f64>().unwrap() <= 0.4, "{run}");
    }

    async fn agents_lead_nowhere_back(app: App) {
        let acme = &app.acme;
        let kind = json!({ "type": "TOOL" });
        let mut agents = Vec::new();
        let mut tools = Vec::new();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let agent = acme.agent(name, kind.clone()).await;
            tools.push(as_tool(acme, &format!("ask_{name}"), &agent).await);
            agents.push(agent);
        }
        let put = async |caller: usize, callee: usize| {
            let path = format!("/v1/agents/{}/tools/{}", agents[caller], tools[callee]);
            acme.owner.put(&path, json!({})).await
        };
        assert_eq!(put(0, 0).await.problem(409), "agent_cycle");
        for (caller, callee) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            put(caller, callee).await.expect(200);
        }
        assert_eq!(put(2, 0).await.problem(409), "agent_cycle");
        assert_eq!(put(4, 5).await.problem(409), "too_deep");
        assert_eq!(put(5, 0).await.problem(409), "too_deep");
        put(5, 1).await.expect(200);
        let other = acme.agent("runner", json!({})).await;
        let body = json!({ "name": "ask", "type": "AGENT", "config": { "agentId": other } });
        let refused = acme.owner.post("/v1/tools", body).await.expect(422);
        assert_eq!((&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]), (&json!("/config/agentId"), &json!("agent_type")));
        let foreign = app.rival.agent("x", json!({ "type": "TOOL" })).await;
        let body = json!({ "name": "ask", "type": "AGENT", "config": { "agentId": foreign } });
        assert_eq!(acme.owner.post("/v1/tools", body).await.expect(422)["errors"][0]["pointer"], "/config/agentId");
        let patch = json!({ "config": { "agentId": agents[0] } });
        let moved = acme.owner.patch(&format!("/v1/tools/{}", tools[1]), patch).await.expect(422);
        assert_eq!(moved["errors"][0]["code"], "immutable");
    }

    async fn an_agent_is_tried_like_any_tool(app: App) {
        let helper = app.acme.agent("helper", json!({ "type": "TOOL" })).await;
        let tool = as_tool(&app.acme, "ask_helper", &helper).await;
        let tried = app.acme.owner.post(&format!("/v1/tools/{tool}/invoke"), json!({ "arguments": { "q": 1 } })).await.expect(200);
        assert_eq!((&tried["status"], &tried["output"]), (&json!("COMPLETED"), &json!("{\"q\":1}")), "{tried}");
        app.acme.owner.delete(&format!("/v1/agents/{helper}")).await.expect(204);
        let tried = app.acme.owner.post(&format!("/v1/tools/{tool}/invoke"), json!({ "arguments": { "q": 1 } })).await.expect(200);
        assert_eq!((&tried["status"], &tried["error"]["code"]), (&json!("FAILED"), &json!("not_found")), "{tried}");
    }
}
