//! `/v1/team-activity-logs` as a caller sees it.

use serde_json::{Value, json};

use crate::support::people::{member, sign_in};
use crate::support::{App, Client};

async fn texts(caller: &Client, filter: &str) -> Vec<String> {
    let page = caller.get(&format!("/v1/team-activity-logs?{filter}")).await.expect(200);
    let told: &Vec<Value> = page["data"].as_array().unwrap();
    told.iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

async fn busy(app: &App) -> String {
    let agent = app.acme.agent("Support bot", json!({})).await;
    let path = format!("/v1/agents/{agent}");
    app.acme.owner.patch(&path, json!({ "temperature": 0.1 })).await.expect(200);
    app.acme.owner.post(&format!("{path}/pause"), json!({})).await.expect(200);
    agent
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn make(by: &Client, path: &str, body: Value) -> String {
    text(&by.post(path, body).await.expect(201)["id"])
}

/// One of each thing that may be moved, or moves along: agent, tool, definition; schedule, batch, hook.
async fn movable(by: &Client, workspace: Option<&str>) -> Vec<String> {
    let placed = |mut body: Value| {
        if let Some(id) = workspace {
            body["workspaceId"] = json!(id);
        }
        body
    };
    let agent = json!({ "name": "bot", "type": "TASK_RUNNER", "model": "mock/echo" });
    let agent = make(by, "/v1/agents", placed(agent)).await;
    let tool = json!({ "name": "echo", "description": "E.", "type": "FUNCTION", "config": { "function": "builtin/echo" } });
    let tool = make(by, "/v1/tools", placed(tool)).await;
    by.put(&format!("/v1/agents/{agent}/tools/{tool}"), json!({})).await.expect(200);
    let task =
        json!({ "name": "task", "type": "WEBHOOK", "agentId": agent, "trigger": { "type": "WEBHOOK" } });
    let definition = make(by, "/v1/task-definitions", placed(task)).await;
    let schedule = json!({ "name": "s", "definitionId": definition, "recurrence": { "cron": "0 0 1 1 *" } });
    let schedule = make(by, "/v1/scheduled-tasks", schedule).await;
    let batch = make(by, "/v1/batch-tasks", json!({ "name": "b", "definitionId": definition })).await;
    let hook = json!({ "name": "h", "definitionId": definition, "scheme": "NONE" });
    let hook = make(by, "/v1/inbound-hooks", hook).await;
    vec![agent, tool, definition, schedule, batch, hook]
}

async fn told_of<'a>(caller: &Client, ids: &'a [String]) -> Vec<&'a str> {
    let feed = caller.get("/v1/team-activity-logs?limit=200").await;
    assert_eq!(feed.status, 200);
    ids.iter().map(String::as_str).filter(|id| feed.text.contains(id)).collect()
}

on_both! {
    async fn what_happens_in_a_strict_workspace_is_told_to_its_team_also_when_it_is_gone(app: App) {
        let owner = &app.acme.owner;
        let admin = member(&app, owner, "admin@acme.example.com", "ADMIN").await;
        let manager = member(&app, owner, "manager@acme.example.com", "MANAGER").await;
        let joiner = member(&app, owner, "joiner@acme.example.com", "MANAGER").await;
        let space = make(owner, "/v1/workspaces", json!({ "name": "Covert", "isolation": "STRICT" })).await;
        let mut ids = movable(owner, Some(&space)).await;
        let joiner_id = text(&joiner.get("/v1/whoami").await.expect(200)["user"]["id"]);
        let places = json!({ "workspaceId": space, "userId": joiner_id, "role": "MANAGER" });
        let place = make(owner, "/v1/team-members", places).await;
        let joiner = sign_in(&app, "joiner@acme.example.com").await;
        ids.push(place.clone());
        ids.push(space.clone());
        for insider in [owner, &joiner] {
            assert_eq!(told_of(insider, &ids).await.len(), ids.len());
        }
        owner.delete(&format!("/v1/team-members/{place}")).await.expect(204);
        let joiner = sign_in(&app, "joiner@acme.example.com").await;
        for outsider in [&admin, &manager, &joiner, &app.rival.owner] {
            assert_eq!(told_of(outsider, &ids).await, [""; 0]);
        }
        let [agent, tool, definition, schedule, batch, hook] = &ids[..6] else { panic!("{ids:?}") };
        for path in [
            format!("/v1/inbound-hooks/{hook}"), format!("/v1/batch-tasks/{batch}"), format!("/v1/scheduled-tasks/{schedule}"),
            format!("/v1/task-definitions/{definition}"), format!("/v1/agents/{agent}"), format!("/v1/tools/{tool}"),
            format!("/v1/workspaces/{space}"),
        ] {
            owner.delete(&path).await.expect(204);
        }
        for outsider in [owner, &admin, &manager] {
            assert_eq!(told_of(outsider, &ids).await, [""; 0], "nobody is of its team any more");
        }
        assert_eq!(texts(&manager, "limit=200&resource=team-member").await, [""; 0]);
    }

    async fn what_was_moved_into_a_strict_workspace_is_told_of_to_its_team_alone(app: App) {
        let owner = &app.acme.owner;
        let manager = member(&app, owner, "manager@acme.example.com", "MANAGER").await;
        let ids = movable(owner, None).await;
        assert_eq!(told_of(&manager, &ids).await.len(), ids.len());
        let space = make(owner, "/v1/workspaces", json!({ "name": "Covert", "isolation": "STRICT" })).await;
        let [agent, tool, definition, ..] = &ids[..] else { panic!("{ids:?}") };
        let what = json!({ "agentIds": [agent], "toolIds": [tool], "definitionIds": [definition] });
        let to = format!("/v1/workspaces/{space}");
        owner.post(&format!("{to}/transfer"), what.clone()).await.expect(200);
        assert_eq!(told_of(&manager, &ids).await, [""; 0]);
        assert_eq!(told_of(owner, &ids).await.len(), ids.len());
        owner.patch(&format!("/v1/agents/{agent}"), json!({ "name": "covert name" })).await.expect(200);
        owner.post(&format!("{to}/release"), what).await.expect(200);
        // What was told before is told again; what happened there is not.
        let feed = manager.get("/v1/team-activity-logs?limit=200").await.text;
        assert!(feed.contains(agent) && !feed.contains("covert name"), "{feed}");
    }

    async fn changes_are_told_in_sentences(app: App) {
        let agent = busy(&app).await;
        let who = &app.acme.owner_email;
        let told = texts(&app.acme.owner, &format!("resourceId={agent}")).await;
        assert_eq!(told, [
            format!("{who} paused the agent “Support bot”."),
            format!("{who} changed the agent “Support bot”."),
            format!("{who} created the agent “Support bot”."),
        ]);
        let key = app.acme.key(&app, &["tools:write"]).await;
        let tool = json!({ "name": "echo", "description": "E.", "type": "FUNCTION", "config": { "function": "builtin/echo" } });
        key.post("/v1/tools", tool).await.expect(201);
        assert_eq!(texts(&app.acme.owner, "resource=tool").await, [format!("An API key of {who} created the tool “echo”.")]);
        let everything = texts(&app.acme.owner, "limit=200").await;
        assert!(everything.iter().any(|text| text == "An administrator of the platform created the tenant “acme”."));
        assert!(everything.iter().all(|text| !text.contains("session")), "{everything:?}");
        assert!(texts(&app.rival.owner, "limit=200").await.iter().all(|text| !text.contains(who)));
    }

    async fn refusals_are_not_told(app: App) {
        let key = app.acme.key(&app, &["team-activity-logs:read"]).await;
        key.get("/v1/agents").await.problem(403);
        assert!(texts(&key, "limit=200").await.iter().all(|text| !text.contains("agents")));
        assert!(key.get("/v1/audit-logs").await.problem(403) == "permission_missing");
    }

    async fn the_stream_goes_on_behind_what_was_seen(app: App) {
        busy(&app).await;
        let all = app.acme.owner.get("/v1/team-activity-logs?sort=createdAt").await.expect(200);
        let seen = all["data"][0]["number"].as_i64().unwrap();
        let request = app.acme.owner.request("GET", "/v1/team-activity-logs").header("accept", "text/event-stream");
        let mut response = request.header("last-event-id", seen.to_string()).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        let mut more = true;
        while !text.contains("created the agent “Second”") {
            let chunk = response.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            if more && text.contains("paused the agent") {
                app.acme.agent("Second", json!({})).await;
                app.rival.agent("Theirs", json!({})).await;
                more = false;
            }
        }
        let numbers: Vec<i64> =
            text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers[0] > seen, "{numbers:?}");
        assert!(!text.contains("Theirs"));
        for wrong in ["x", "-"] {
            let request = app.acme.owner.request("GET", "/v1/team-activity-logs").header("accept", "text/event-stream");
            app.acme.owner.send(request.header("last-event-id", wrong)).await.problem(422);
        }
    }
}
