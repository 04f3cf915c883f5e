//! `/v1/workspaces`: what is seen, what is refused, what moves.

use serde_json::{Value, json};

use crate::support::Client;
use crate::support::people::member;

async fn workspace(by: &Client, name: &str, isolation: &str) -> String {
    let body = json!({ "name": name, "isolation": isolation });
    text(&by.post("/v1/workspaces", body).await.expect(201)["id"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn id_of(person: &Client) -> String {
    text(&person.get("/v1/whoami").await.expect(200)["user"]["id"])
}

async fn join(by: &Client, workspace: &str, person: &Client, role: &str) -> String {
    let body = json!({ "workspaceId": workspace, "userId": id_of(person).await, "role": role });
    format!("/v1/team-members/{}", text(&by.post("/v1/team-members", body).await.expect(201)["id"]))
}

async fn agent(by: &Client, name: &str, workspace: Option<&str>) -> String {
    let body = json!({ "name": name, "type": "TASK_RUNNER", "model": "mock/echo", "workspaceId": workspace });
    text(&by.post("/v1/agents", body).await.expect(201)["id"])
}

on_both! {
    async fn a_slug_is_unique_in_the_tenant_and_free_after_deletion(app: App) {
        let owner = &app.acme.owner;
        let made = owner.post("/v1/workspaces", json!({ "name": "Support Team" })).await.expect(201);
        assert_eq!((&made["slug"], &made["isolation"]), (&json!("support-team"), &json!("SHARED")));
        let body = json!({ "name": "x", "slug": "support-team" });
        assert_eq!(owner.post("/v1/workspaces", body.clone()).await.problem(409), "slug_taken");
        app.rival.owner.post("/v1/workspaces", body.clone()).await.expect(201);
        let again = owner.post("/v1/workspaces", json!({ "name": "Support Team" })).await.expect(201);
        assert_ne!(again["slug"], "support-team");
        let path = format!("/v1/workspaces/{}", text(&made["id"]));
        owner.delete(&path).await.expect(204);
        assert_eq!(owner.get(&path).await.problem(404), "not_found");
        owner.post("/v1/workspaces", body).await.expect(201);
        for bad in [json!({ "name": "" }), json!({ "name": "a", "slug": "A b" }), json!({ "name": "a", "isolation": "OPEN" })] {
            owner.post("/v1/workspaces", bad).await.expect(422);
        }
        let large = json!({ "name": "a", "settings": { "a": "x".repeat(20_000) } });
        assert_eq!(owner.post("/v1/workspaces", large).await.body["errors"][0]["pointer"], "/settings");
    }

    async fn a_strict_workspace_hides_when_it_becomes_so_and_shows_to_who_joins(app: App) {
        let owner = &app.acme.owner;
        let person = member(&app, owner, "p@example.com", "OPERATOR").await;
        let space = workspace(owner, "Space", "SHARED").await;
        let path = format!("/v1/agents/{}", agent(owner, "bot", Some(&space)).await);
        person.get(&path).await.expect(200);
        owner.patch(&format!("/v1/workspaces/{space}"), json!({ "isolation": "STRICT" })).await.expect(200);
        assert_eq!(person.get(&path).await.problem(404), "not_found");
        let place = join(owner, &space, &person, "OPERATOR").await;
        person.get(&path).await.expect(200);
        owner.delete(&place).await.expect(204);
        assert_eq!(person.get(&path).await.problem(404), "not_found");
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let shared = workspace(owner, "Shared", "SHARED").await;
        let shared = format!("/v1/workspaces/{shared}");
        let strict = json!({ "isolation": "STRICT" });
        assert_eq!(manager.patch(&shared, strict).await.problem(409), "not_in_team");
    }

    async fn administrators_see_the_workspace_and_join_but_see_nothing_in_it_before(app: App) {
        let manager = member(&app, &app.acme.owner, "m@example.com", "MANAGER").await;
        let space = workspace(&manager, "Own", "STRICT").await;
        let path = format!("/v1/agents/{}", agent(&manager, "bot", Some(&space)).await);
        let owner = &app.acme.owner;
        owner.get(&format!("/v1/workspaces/{space}")).await.expect(200);
        assert_eq!(owner.get(&path).await.problem(404), "not_found");
        let body = json!({ "name": "b", "type": "TASK_RUNNER", "model": "mock/echo", "workspaceId": space });
        assert_eq!(owner.post("/v1/agents", body).await.body["errors"][0]["pointer"], "/workspaceId");
        let moved = json!({ "agentIds": [agent(owner, "mine", None).await] });
        let transfer = format!("/v1/workspaces/{space}/transfer");
        assert_eq!(owner.post(&transfer, moved).await.problem(409), "not_in_team");
        join(owner, &space, owner, "OWNER").await;
        owner.get(&path).await.expect(200);
        let log = owner.get("/v1/audit-logs?action=create_team_member").await.expect(200);
        assert_eq!(log["data"][0]["newData"]["workspaceId"], json!(space));
    }

    async fn nothing_is_made_in_an_archived_workspace_or_run_from_it(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "Old", "SHARED").await;
        let bot = agent(owner, "bot", Some(&space)).await;
        let tool = json!({ "name": "echo", "type": "FUNCTION", "config": { "function": "builtin/echo" }, "workspaceId": space });
        let tool = text(&owner.post("/v1/tools", tool).await.expect(201)["id"]);
        let task = json!({ "name": "task", "type": "AUTOMATION", "agentId": bot, "workspaceId": space });
        let task = text(&owner.post("/v1/task-definitions", task).await.expect(201)["id"]);
        let run = owner.post("/v1/task-runs?wait=30", json!({ "agentId": bot, "input": "a" })).await.expect(201);
        let run = format!("/v1/task-runs/{}", text(&run["id"]));
        let other = agent(owner, "other", None).await;
        let later = app.core.clock.now() + chrono::TimeDelta::days(1);
        let delayed = json!({ "agentId": bot, "availableAt": later });
        let delayed = format!("/v1/task-runs/{}", text(&owner.post("/v1/task-runs", delayed).await.expect(201)["id"]));
        owner.post(&format!("{delayed}/cancel"), json!({})).await.expect(200);
        let path = format!("/v1/workspaces/{space}");
        let archived = owner.post(&format!("{path}/archive"), json!({})).await.expect(200);
        assert_ne!(archived["archivedAt"], Value::Null);
        assert_eq!(owner.post(&format!("{path}/archive"), json!({})).await.problem(409), "invalid_transition");
        let calls = [
            ("/v1/agents", json!({ "name": "n", "type": "TASK_RUNNER", "workspaceId": space })),
            ("/v1/tools", json!({ "name": "n", "type": "FUNCTION", "config": { "function": "builtin/echo" }, "workspaceId": space })),
            ("/v1/task-definitions", json!({ "name": "n", "type": "AUTOMATION", "agentId": other, "workspaceId": space })),
            ("/v1/api-keys", json!({ "name": "n", "scopes": ["*"], "workspaceId": space })),
            ("/v1/task-runs", json!({ "agentId": bot, "input": "a" })),
            ("/v1/task-runs", json!({ "definitionId": task, "input": "a" })),
            (&format!("/v1/tools/{tool}/invoke"), json!({})),
            (&format!("{run}/replay"), json!({})),
            (&format!("{delayed}/retry"), json!({})),
            (&format!("{path}/transfer"), json!({ "agentIds": [other] })),
        ];
        for (call, body) in &calls {
            assert_eq!(owner.post(call, body.clone()).await.problem(409), "workspace_archived", "{call}");
        }
        owner.get(&format!("/v1/agents/{bot}")).await.expect(200);
        owner.post(&format!("{path}/unarchive"), json!({})).await.expect(200);
        for (call, body) in &calls {
            assert!(owner.post(call, body.clone()).await.status < 300, "{call}");
        }
    }

    async fn what_is_used_belongs_to_the_same_workspace_or_to_the_tenant(app: App) {
        let owner = &app.acme.owner;
        let (a, b) = (workspace(owner, "a", "STRICT").await, workspace(owner, "b", "STRICT").await);
        let bot = agent(owner, "bot", Some(&a)).await;
        for within in [json!(b), Value::Null] {
            let task = json!({ "name": "task", "type": "AUTOMATION", "agentId": bot, "workspaceId": within });
            let refused = owner.post("/v1/task-definitions", task).await;
            assert_eq!(refused.body["errors"][0]["code"], "other_workspace", "{}", refused.text);
        }
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        app.acme.bind(&bot, &tool, json!({ "policy": "ALLOW" })).await;
        let task = json!({ "name": "task", "type": "AUTOMATION", "agentId": bot, "workspaceId": a });
        let task = text(&owner.post("/v1/task-definitions", task).await.expect(201)["id"]);
        let run = owner.post("/v1/task-runs?wait=30", json!({ "definitionId": task, "input": "a" })).await.expect(201);
        assert_eq!(run["workspaceId"], json!(a));

        let (to_a, to_b) = (format!("/v1/workspaces/{a}/transfer"), format!("/v1/workspaces/{b}/transfer"));
        for part in [json!({ "toolIds": [tool] }), json!({ "agentIds": [bot] }), json!({ "definitionIds": [task] })] {
            assert_eq!(owner.post(&to_b, part).await.problem(409), "other_workspace");
        }
        let all = json!({ "agentIds": [bot], "toolIds": [tool], "definitionIds": [task] });
        let moved = owner.post_once(&to_b, "once", all.clone()).await.expect(200);
        assert_eq!(moved["toolIds"], json!([tool]));
        assert_eq!(owner.post_once(&to_b, "once", all.clone()).await.expect(200), moved);
        assert_eq!(owner.get(&format!("/v1/agents/{bot}")).await.expect(200)["workspaceId"], json!(b));
        let again = owner.post(&to_b, all.clone()).await.expect(200);
        assert_eq!(again["agentIds"], json!([]));
        let elsewhere = owner.post(&format!("/v1/workspaces/{a}/release"), all.clone()).await;
        assert_eq!(elsewhere.body["errors"][0]["pointer"], "/agentIds/0", "{}", elsewhere.text);
        let path = format!("/v1/task-runs/{}", text(&run["id"]));
        assert_eq!(owner.get(&path).await.expect(200)["workspaceId"], json!(a), "runs stay");
        assert_eq!(owner.delete(&format!("/v1/workspaces/{b}")).await.problem(409), "in_use");
        owner.post(&format!("/v1/workspaces/{b}/release"), all.clone()).await.expect(200);
        owner.delete(&format!("/v1/workspaces/{b}")).await.expect(204);
        owner.post(&to_a, json!({})).await.expect(422);
        let unbound = json!({ "agentIds": [agent(&app.rival.owner, "theirs", None).await] });
        assert_eq!(owner.post(&to_a, unbound).await.body["errors"][0]["pointer"], "/agentIds/0");
        assert_eq!(owner.get(&format!("/v1/agents/{bot}")).await.expect(200)["workspaceId"], Value::Null);
    }

    async fn a_version_does_not_bring_back_a_tool_of_another_workspace(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "a", "SHARED").await;
        let bot = agent(owner, "bot", None).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        app.acme.bind(&bot, &tool, json!({})).await;
        owner.delete(&format!("/v1/agents/{bot}/tools/{tool}")).await.expect(204);
        owner.post(&format!("/v1/workspaces/{space}/transfer"), json!({ "toolIds": [tool] })).await.expect(200);
        let back = owner.post(&format!("/v1/agents/{bot}/versions/2/activate"), json!({})).await;
        assert_eq!(back.problem(409), "version_not_usable");
        let bind = owner.put(&format!("/v1/agents/{bot}/tools/{tool}"), json!({})).await;
        assert_eq!(bind.problem(409), "other_workspace");
    }

    async fn a_deleted_workspace_revokes_its_keys_and_its_runs_are_seen_by_nobody(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "a", "STRICT").await;
        let key = json!({ "name": "k", "scopes": ["*"], "workspaceId": space });
        let key = owner.post("/v1/api-keys", key).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        let bot = agent(&key, "bot", None).await;
        assert_eq!(owner.get(&format!("/v1/agents/{bot}")).await.expect(200)["workspaceId"], json!(space));
        let run = key.post("/v1/task-runs?wait=30", json!({ "agentId": bot, "input": "a" })).await.expect(201);
        let run = format!("/v1/task-runs/{}", text(&run["id"]));
        owner.get(&run).await.expect(200);
        owner.delete(&format!("/v1/agents/{bot}")).await.expect(204);
        owner.delete(&format!("/v1/workspaces/{space}")).await.expect(204);
        assert_eq!(key.get("/v1/whoami").await.problem(401), "invalid_api_key");
        assert_eq!(owner.get(&run).await.problem(404), "not_found");
        assert_eq!(owner.get("/v1/task-runs").await.expect(200)["data"], json!([]));
    }

    async fn what_is_left_of_a_deleted_strict_workspace_stays_hidden_also_without_a_run(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "a", "STRICT").await;
        let tool = json!({ "name": "echo", "type": "FUNCTION", "config": { "function": "builtin/echo" }, "workspaceId": space });
        let tool = text(&owner.post("/v1/tools", tool).await.expect(201)["id"]);
        let task = json!({ "name": "task", "type": "WEBHOOK", "toolId": tool, "workspaceId": space, "trigger": { "type": "WEBHOOK" } });
        let task = text(&owner.post("/v1/task-definitions", task).await.expect(201)["id"]);
        let hook = json!({ "name": "h", "definitionId": task, "scheme": "STANDARD_WEBHOOKS" });
        let hook = owner.post("/v1/inbound-hooks", hook).await.expect(201);
        let (_, token) = hook["url"].as_str().unwrap().rsplit_once('/').unwrap();
        // Nobody signed it: it is kept as refused, and no run is made.
        app.anyone().post(&format!("/v1/hooks/{token}"), json!({ "a": 1 })).await;
        let event = json!({ "type": "left.over", "workspaceId": space });
        owner.post("/v1/events", event).await.expect(201);
        let schedule = json!({ "name": "s", "definitionId": task, "recurrence": { "cron": "0 0 1 1 *" } });
        let schedule = text(&owner.post("/v1/scheduled-tasks", schedule).await.expect(201)["id"]);
        let lists = ["/v1/events", "/v1/hook-deliveries"];
        for list in lists {
            assert_eq!(owner.get(list).await.expect(200)["data"].as_array().unwrap().len(), 1, "{list}");
        }
        for path in [
            format!("/v1/scheduled-tasks/{schedule}"), format!("/v1/inbound-hooks/{}", text(&hook["id"])),
            format!("/v1/task-definitions/{task}"), format!("/v1/tools/{tool}"), format!("/v1/workspaces/{space}"),
        ] {
            owner.delete(&path).await.expect(204);
        }
        let runs = owner.get("/v1/task-runs").await.expect(200);
        assert_eq!(runs["data"], json!([]), "no run is left that would have hidden it");
        for caller in [owner, &member(&app, owner, "m@example.com", "MANAGER").await, &app.rival.owner] {
            for list in lists {
                assert_eq!(caller.get(list).await.expect(200)["data"], json!([]), "{list}");
            }
        }
    }

    async fn strict_workspaces_that_were_deleted_are_bounded(app: App) {
        let owner = &app.acme.owner;
        workspace(owner, "a", "STRICT").await;
        let tenant: uuid::Uuid = app.acme.id.parse().unwrap();
        let tx = app.core.db.system(service::db::Reason::Operations).begin().await.unwrap();
        let sql = "INSERT INTO workspace (tenant_id, id, name, slug, isolation, settings, metadata, revision, created_at, updated_at, deleted_at) \
             SELECT w.tenant_id, $2, w.name, $3, w.isolation, w.settings, w.metadata, 1, w.created_at, w.updated_at, w.created_at \
             FROM workspace w WHERE w.tenant_id = $1 AND w.deleted_at IS NULL LIMIT 1";
        for n in 0..2_000 {
            let id = app.core.ids.next();
            tx.execute(sql, vec![tenant.into(), id.into(), format!("gone-{n}").into()]).await.unwrap();
        }
        tx.commit().await.unwrap();
        let strict = json!({ "name": "b", "isolation": "STRICT" });
        assert_eq!(owner.post("/v1/workspaces", strict.clone()).await.problem(409), "too_many_workspaces");
        app.rival.owner.post("/v1/workspaces", strict).await.expect(201);
        workspace(owner, "c", "SHARED").await;
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        for list in ["agents", "task-runs", "events", "team-activity-logs"] {
            manager.get(&format!("/v1/{list}")).await.expect(200);
        }
    }

    async fn a_dedupe_key_is_one_of_its_workspace(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "a", "STRICT").await;
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let (inside, outside) = (agent(owner, "in", Some(&space)).await, agent(owner, "out", None).await);
        let later = app.core.clock.now() + chrono::TimeDelta::days(1);
        let of = |agent: &str| json!({ "agentId": agent, "availableAt": later, "dedupeKey": "same" });
        let hidden = owner.post("/v1/task-runs", of(&inside)).await.expect(201);
        let made = manager.post("/v1/task-runs", of(&outside)).await.expect(201);
        assert_ne!(made["id"], hidden["id"]);
        assert_eq!(manager.post("/v1/task-runs", of(&outside)).await.expect(201)["id"], made["id"]);
        assert_eq!(owner.post("/v1/task-runs", of(&inside)).await.expect(201)["id"], hidden["id"]);
    }

    async fn an_open_stream_ends_when_what_its_caller_sees_changes(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "a", "STRICT").await;
        let person = member(&app, owner, "p@example.com", "VIEWER").await;
        let place = join(owner, &space, &person, "VIEWER").await;
        let bot = agent(owner, "bot", Some(&space)).await;
        let later = app.core.clock.now() + chrono::TimeDelta::days(1);
        let run = owner.post("/v1/task-runs", json!({ "agentId": bot, "availableAt": later })).await.expect(201);
        let path = format!("/v1/task-runs/{}/events", text(&run["id"]));
        let stream = person.request("GET", &path).header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(stream.status(), 200);
        owner.delete(&place).await.expect(204);
        let all = stream.text().await.unwrap();
        assert!(all.contains("run.created") && all.contains("sight_changed"), "{all}");
        assert_eq!(person.get(&path).await.problem(404), "not_found");
    }

    async fn what_uses_a_resource_is_not_named_to_who_does_not_see_it(app: App) {
        let owner = &app.acme.owner;
        let space = workspace(owner, "a", "STRICT").await;
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let bot = agent(owner, "bot", None).await;
        let task = json!({ "name": "covert", "type": "AUTOMATION", "agentId": bot, "workspaceId": space });
        owner.post("/v1/task-definitions", task).await.expect(201);
        let refused = manager.delete(&format!("/v1/agents/{bot}")).await;
        assert!(!refused.text.contains("covert"), "{}", refused.text);
        assert_eq!(refused.problem(409), "in_use");
    }
}
