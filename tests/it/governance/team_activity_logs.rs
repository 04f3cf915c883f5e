//! `/v1/team-activity-logs` as a caller sees it.

use serde_json::{Value, json};

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

on_both! {
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
