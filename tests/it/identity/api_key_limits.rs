//! What limits a key: its maker's rights as they are now, its agents, and where it is used from.

use serde_json::{Value, json};

use crate::support::{App, Client, eventually, people};

const NOBODYS: &str = "01980000-0000-7000-8000-00000000dead";

/// A key of the owner's, made with `more`.
async fn made(app: &App, more: Value) -> (Client, Value) {
    let mut body = json!({ "name": "limited", "scopes": ["*"] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = app.acme.owner.post("/v1/api-keys", body).await.expect(201);
    (app.anyone().with_key(made["key"].as_str().unwrap()), made)
}

fn path_of(made: &Value) -> String {
    format!("/v1/api-keys/{}", made["id"].as_str().unwrap())
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

on_both! {
    async fn a_key_holds_no_more_than_its_maker_after_they_lost_it(app: App) {
        let manager = people::member(&app, &app.acme.owner, "m@example.com", "MANAGER").await;
        let key = manager.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*", "agents:write"] })).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        let agent = |name: &str| json!({ "name": name, "type": "TASK_RUNNER", "model": "mock/echo" });
        key.post("/v1/agents", agent("before")).await.expect(201);

        let members = app.acme.owner.get("/v1/memberships").await.expect(200);
        let place = members["data"].as_array().unwrap().iter().find(|place| place["email"] == "m@example.com").unwrap().clone();
        let place = format!("/v1/memberships/{}", place["id"].as_str().unwrap());
        app.acme.owner.patch(&place, json!({ "role": "VIEWER" })).await.expect(200);
        assert_eq!(key.post("/v1/agents", agent("after")).await.problem(403), "permission_missing");
        assert_eq!(key.post("/v1/api-keys", json!({ "name": "more", "scopes": ["agents:write"] })).await.problem(403), "permission_missing");
        key.get("/v1/agents").await.expect(200);
        app.acme.owner.patch(&place, json!({ "status": "SUSPENDED" })).await.expect(200);
        assert_eq!(key.get("/v1/agents").await.problem(401), "invalid_api_key");
    }

    async fn a_key_for_some_agents_sees_and_runs_no_others(app: App) {
        let own = app.acme.agent("own", json!({})).await;
        let other = app.acme.agent("other", json!({ "model": "mock/tools" })).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        app.acme.bind(&other, &tool, json!({ "policy": "ASK" })).await;
        let own_definition = app.acme.definition("own", json!({ "agentId": own })).await;
        let other_definition = app.acme.definition("other", json!({ "agentId": other })).await;
        let tool_definition = app.acme.definition("tool", json!({ "toolId": tool })).await;
        let own_run = app.acme.run(json!({ "agentId": own, "input": "x" })).await["id"].as_str().unwrap().to_owned();
        let other_run = app.acme.create(json!({ "agentId": other, "input": "x", "dedupeKey": "d" })).await;
        eventually("it asks", async || app.acme.owner.get(&other_run).await.expect(200)["status"] == "WAITING").await;
        let approval = app.acme.owner.get("/v1/approvals").await.expect(200);
        let approval = ids(&approval)[0].to_owned();
        let (key, _) = made(&app, json!({ "agentIds": [own] })).await;

        assert_eq!(ids(&key.get("/v1/agents?count=true").await.expect(200)), [own.as_str()]);
        assert_eq!(ids(&key.get("/v1/task-runs").await.expect(200)), [own_run.as_str()]);
        assert_eq!(ids(&key.get("/v1/task-definitions").await.expect(200)), [own_definition.as_str()]);
        for empty in [format!("/v1/task-runs?agentId={other}"), format!("/v1/task-definitions?toolId={tool}"), "/v1/approvals".to_owned()] {
            assert_eq!(key.get(&empty).await.expect(200)["data"], json!([]), "{empty}");
        }
        key.get(&format!("/v1/agents/{own}/versions")).await.expect(200);
        key.get(&format!("/v1/task-runs/{own_run}/events")).await.expect(200);
        key.post("/v1/task-runs?wait=30", json!({ "agentId": own, "input": "y" })).await.expect(201);
        key.post("/v1/task-runs?wait=30", json!({ "definitionId": own_definition, "input": "y" })).await.expect(201);
        key.post(&format!("/v1/task-runs/{own_run}/replay"), json!({})).await.expect(201);
        key.post(&format!("/v1/agents/{own}/pause"), json!({})).await.expect(200);

        let run = other_run.trim_start_matches("/v1/task-runs/");
        for (method, place, id) in [
            ("GET", "/v1/agents/@", other.as_str()),
            ("GET", "/v1/agents/@/versions", &other),
            ("GET", "/v1/agents/@/versions/1", &other),
            ("GET", "/v1/agents/@/tools", &other),
            ("POST", "/v1/agents/@/pause", &other),
            ("GET", "/v1/task-definitions/@", &other_definition),
            ("GET", "/v1/task-definitions/@", &tool_definition),
            ("GET", "/v1/task-runs/@", run),
            ("GET", "/v1/task-runs/@/events", run),
            ("GET", "/v1/task-runs/@/steps", run),
            ("POST", "/v1/task-runs/@/cancel", run),
            ("POST", "/v1/task-runs/@/retry", run),
            ("POST", "/v1/task-runs/@/replay", run),
            ("GET", "/v1/approvals/@", &approval),
            ("POST", "/v1/approvals/@/decide", &approval),
        ] {
            let send = async |id: &str| {
                let request = key.request(method, &place.replace('@', id));
                let body = if place.ends_with("decide") { json!({ "decision": "APPROVE" }) } else { json!({}) };
                key.send(if method == "POST" { request.json(&body) } else { request }).await
            };
            let (hidden, missing) = (send(id).await, send(NOBODYS).await);
            assert_eq!(hidden.body["detail"], missing.body["detail"], "{method} {place}");
            assert_eq!(hidden.problem(404), missing.problem(404));
        }
        for (field, id) in [("agentId", &other), ("definitionId", &other_definition), ("definitionId", &tool_definition)] {
            let hidden = key.post("/v1/task-runs", json!({ field: id, "input": "x" })).await;
            let missing = key.post("/v1/task-runs", json!({ field: NOBODYS, "input": "x" })).await;
            assert_eq!(hidden.body["errors"], missing.body["errors"], "{field}");
            assert_eq!((hidden.status, missing.status), (422, 422));
        }
        key.post(&format!("/v1/agents/{own}/resume"), json!({})).await.expect(200);
        let taken = key.post("/v1/task-runs", json!({ "agentId": own, "input": "x", "dedupeKey": "d" })).await;
        assert!(!taken.text.contains(run), "{}", taken.text);
        assert_eq!(taken.problem(409), "dedupe_key_taken");
        for elsewhere in ["/v1/tools", "/v1/api-keys", "/v1/memberships", "/v1/tenant", "/v1/audit-logs", "/v1/team-activity-logs"] {
            assert_eq!(key.get(elsewhere).await.problem(403), "permission_missing", "{elsewhere}");
        }
        assert_eq!(app.acme.owner.get(&other_run).await.expect(200)["status"], "WAITING");
    }

    async fn agents_of_a_key_exist_and_its_scopes_are_of_agents(app: App) {
        let (own, foreign) = (app.acme.agent("a", json!({})).await, app.rival.agent("b", json!({})).await);
        let owner = &app.acme.owner;
        let ask = |agents: Value, scope: &str| json!({ "name": "k", "scopes": [scope], "agentIds": agents });
        let refused = owner.post("/v1/api-keys", ask(json!([own, foreign]), "agents:read")).await;
        let missing = owner.post("/v1/api-keys", ask(json!([own, NOBODYS]), "agents:read")).await;
        assert_eq!(refused.body["errors"], missing.body["errors"]);
        assert_eq!(refused.body["errors"][0]["pointer"], "/agentIds/1");
        refused.expect(422);
        for (agents, scope, pointer) in [
            (json!([own]), "agents:write", "/scopes/0"),
            (json!([own]), "memberships:write", "/scopes/0"),
            (json!([]), "agents:read", "/agentIds"),
            (json!("*"), "agents:read", "/agentIds"),
            (json!([null]), "agents:read", "/agentIds/0"),
        ] {
            let refused = owner.post("/v1/api-keys", ask(agents, scope)).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
            refused.expect(422);
        }
        let (_, made) = made(&app, json!({ "agentIds": [own] })).await;
        owner.patch(&path_of(&made), json!({ "agentIds": null })).await.expect(422);
    }

    async fn a_key_is_refused_from_elsewhere_and_the_refusal_is_recorded(app: App) {
        let (here, _) = made(&app, json!({ "ipAllowList": ["127.0.0.0/8", "2001:db8::/32"] })).await;
        here.get("/v1/agents").await.expect(200);
        let (elsewhere, made) = made(&app, json!({ "ipAllowList": ["203.0.113.7"] })).await;
        assert_eq!(made["ipAllowList"], json!(["203.0.113.7/32"]));
        for path in ["/v1/agents", "/v1/whoami"] {
            assert_eq!(elsewhere.get(path).await.problem(403), "address_not_allowed");
        }
        let forged = elsewhere.request("GET", "/v1/agents").header("x-forwarded-for", "203.0.113.7");
        assert_eq!(elsewhere.send(forged).await.problem(403), "address_not_allowed");
        let newest = app.acme.owner.get("/v1/audit-logs?limit=1").await.expect(200)["data"][0].clone();
        assert_eq!((&newest["outcome"], &newest["code"]), (&json!("REFUSED"), &json!("address_not_allowed")));
        assert_eq!(newest["actor"], format!("api-key:{}", made["id"].as_str().unwrap()));

        let behind = app.serve(|options| options.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
        let proxied = elsewhere.at(&behind);
        let from = async |address: &str| {
            proxied.send(proxied.request("GET", "/v1/agents").header("x-forwarded-for", address)).await.status
        };
        assert_eq!((from("203.0.113.7").await, from("203.0.113.8").await), (200, 403));
        assert_eq!(from("203.0.113.7, 198.51.100.1").await, 403);
        assert_eq!(from("::ffff:203.0.113.7").await, 200);

        app.acme.owner.patch(&path_of(&made), json!({ "ipAllowList": [] })).await.expect(200);
        elsewhere.get("/v1/agents").await.expect(200);
    }

    async fn a_key_does_not_free_itself_or_its_children_from_its_networks(app: App) {
        let (key, made) = made(&app, json!({ "ipAllowList": ["127.0.0.0/8"] })).await;
        for open in [json!([]), json!(["0.0.0.0/0"])] {
            let refused = key.patch(&path_of(&made), json!({ "ipAllowList": open })).await;
            assert_eq!(refused.problem(403), "person_only");
        }
        let child = async |list: Value| key.post("/v1/api-keys", json!({ "name": "c", "scopes": ["*"], "ipAllowList": list })).await;
        assert_eq!(child(json!([])).await.expect(201)["ipAllowList"], json!(["127.0.0.0/8"]));
        assert_eq!(child(json!(["127.0.0.1"])).await.expect(201)["ipAllowList"], json!(["127.0.0.1/32"]));
        let wider = child(json!(["127.0.0.1", "10.0.0.0/8"])).await;
        assert_eq!(wider.body["errors"][0]["pointer"], "/ipAllowList");
        wider.expect(422);
        let wrong = child(json!(["127.0.0.1", "10.0.0.0/99", "host"])).await;
        let pointers: Vec<_> = wrong.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
        assert_eq!(pointers, ["/ipAllowList/1", "/ipAllowList/2"]);
        child(json!(vec!["127.0.0.1"; 33])).await.expect(422);
        child(json!(null)).await.expect(422);
    }
}
