//! `/v1/team-members`: roles narrow, removal acts at once, and leaving the tenant leaves its teams.

use serde_json::{Value, json};

use crate::support::people::{member, sign_in};
use crate::support::{Client, PASSWORD, mails};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn id_of(person: &Client) -> String {
    text(&person.get("/v1/whoami").await.expect(200)["user"]["id"])
}

async fn workspace(by: &Client, name: &str, isolation: &str) -> String {
    let body = json!({ "name": name, "isolation": isolation });
    text(&by.post("/v1/workspaces", body).await.expect(201)["id"])
}

fn place(workspace: &str, user: &str, role: &str) -> Value {
    json!({ "workspaceId": workspace, "userId": user, "role": role })
}

on_both! {
    async fn a_role_in_a_team_narrows_what_a_member_may_there(app: App) {
        let owner = &app.acme.owner;
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let space = workspace(owner, "a", "SHARED").await;
        let create = json!({ "name": "bot", "type": "TASK_RUNNER", "model": "mock/echo", "workspaceId": space });
        let bot = format!("/v1/agents/{}", text(&manager.post("/v1/agents", create.clone()).await.expect(201)["id"]));
        let run = json!({ "agentId": bot.rsplit('/').next().unwrap(), "input": "a" });
        let made = owner.post("/v1/team-members", place(&space, &id_of(&manager).await, "OPERATOR")).await.expect(201);
        let path = format!("/v1/team-members/{}", text(&made["id"]));
        manager.get(&bot).await.expect(200);
        manager.post(&format!("{bot}/pause"), json!({})).await.expect(200);
        manager.post(&format!("{bot}/resume"), json!({})).await.expect(200);
        manager.post("/v1/task-runs?wait=30", run.clone()).await.expect(201);
        assert_eq!(manager.patch(&bot, json!({ "name": "x" })).await.problem(403), "permission_missing");
        assert_eq!(manager.delete(&bot).await.problem(403), "permission_missing");
        let another = json!({ "name": "b2", "type": "TASK_RUNNER", "workspaceId": space });
        assert_eq!(manager.post("/v1/agents", another).await.problem(403), "permission_missing");
        assert_eq!(manager.patch(&path, json!({ "role": "MANAGER" })).await.problem(403), "permission_missing");
        let rename = manager.patch(&format!("/v1/workspaces/{space}"), json!({ "name": "x" })).await;
        assert_eq!(rename.problem(403), "permission_missing");
        let key = manager.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        assert_eq!(key.patch(&bot, json!({ "name": "x" })).await.problem(403), "permission_missing");

        owner.patch(&path, json!({ "role": "VIEWER" })).await.expect(200);
        assert_eq!(manager.post("/v1/task-runs", run).await.problem(403), "permission_missing");
        assert_eq!(manager.post(&format!("{bot}/pause"), json!({})).await.problem(403), "permission_missing");
        manager.get(&bot).await.expect(200);
        let free = json!({ "name": "free", "type": "TASK_RUNNER" });
        manager.post("/v1/agents", free).await.expect(201);
        owner.patch(&path, json!({ "role": "MANAGER" })).await.expect(200);
        manager.patch(&bot, json!({ "name": "x" })).await.expect(200);
    }

    async fn a_role_is_no_more_than_the_memberships_nor_than_the_givers(app: App) {
        let owner = &app.acme.owner;
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let admin = member(&app, owner, "a@example.com", "ADMIN").await;
        let viewer = id_of(&member(&app, owner, "v@example.com", "VIEWER").await).await;
        let space = workspace(&manager, "a", "SHARED").await;
        let above = owner.post("/v1/team-members", place(&space, &viewer, "OPERATOR")).await;
        assert_eq!(above.body["errors"][0]["code"], "above_membership");
        let admins = place(&space, &id_of(&admin).await, "ADMIN");
        assert_eq!(manager.post("/v1/team-members", admins.clone()).await.problem(403), "role_above_own");
        let path = format!("/v1/team-members/{}", text(&owner.post("/v1/team-members", admins).await.expect(201)["id"]));
        assert_eq!(manager.delete(&path).await.problem(403), "role_above_own");
        assert_eq!(manager.patch(&path, json!({ "role": "VIEWER" })).await.problem(403), "role_above_own");
        let body = json!({ "workspaceId": space, "userId": viewer, "skills": ["billing"], "availability": "BUSY" });
        let made = manager.post("/v1/team-members", body.clone()).await.expect(201);
        assert_eq!((&made["role"], &made["skills"]), (&json!("VIEWER"), &json!(["billing"])));
        assert_eq!(manager.post("/v1/team-members", body).await.problem(409), "already_in_team");
        let places = owner.get(&format!("/v1/team-members?userId={viewer}")).await.expect(200);
        assert_eq!(places["data"].as_array().unwrap().len(), 1);
        let path = format!("/v1/team-members/{}", text(&made["id"]));
        let raised = manager.patch(&path, json!({ "role": "MANAGER" })).await;
        assert_eq!(raised.body["errors"][0]["pointer"], "/role", "{}", raised.text);
        let invited = json!({ "email": "later@example.com", "role": "VIEWER" });
        owner.post("/v1/memberships", invited).await.expect(201);
        for bad in [json!({ "skills": [""] }), json!({ "skills": vec!["a"; 51] }), json!({ "availability": "GONE" }), json!({ "userId": viewer })] {
            manager.patch(&path, bad).await.expect(422);
        }
    }

    async fn a_lowered_membership_narrows_its_teams(app: App) {
        let owner = &app.acme.owner;
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let space = workspace(&manager, "a", "STRICT").await;
        let create = json!({ "name": "bot", "type": "TASK_RUNNER", "workspaceId": space });
        let bot = format!("/v1/agents/{}", text(&manager.post("/v1/agents", create).await.expect(201)["id"]));
        let members = owner.get("/v1/memberships?role=MANAGER").await.expect(200);
        let path = format!("/v1/memberships/{}", text(&members["data"][0]["id"]));
        owner.patch(&path, json!({ "role": "VIEWER" })).await.expect(200);
        manager.get(&bot).await.expect(200);
        assert_eq!(manager.patch(&bot, json!({ "name": "x" })).await.problem(403), "permission_missing");

        let user = id_of(&manager).await;
        owner.delete(&path).await.expect(204);
        let left = owner.get(&format!("/v1/team-members?userId={user}")).await.expect(200);
        assert_eq!(left["data"], json!([]));
        let back = json!({ "email": "m@example.com", "role": "MANAGER" });
        owner.post("/v1/memberships", back).await.expect(201);
        let again = sign_in(&app, "m@example.com").await;
        assert_eq!(again.get(&bot).await.problem(404), "not_found");
    }

    async fn who_accepts_an_invitation_joins_the_teams_that_it_offers(app: App) {
        let owner = &app.acme.owner;
        let strict = workspace(owner, "strict", "STRICT").await;
        let gone = workspace(owner, "gone", "SHARED").await;
        let theirs = workspace(&app.rival.owner, "theirs", "SHARED").await;
        let of = |ids: Value| json!({ "email": "new@example.com", "role": "OPERATOR", "workspaceIds": ids });
        let unknown = owner.post("/v1/team-invites", of(json!([strict, theirs]))).await;
        assert_eq!(unknown.body["errors"][0]["pointer"], "/workspaceIds/1");
        let made = owner.post("/v1/team-invites", of(json!([strict, gone, strict]))).await.expect(201);
        assert_eq!(made["workspaceIds"].as_array().unwrap().len(), 2);
        let manager = member(&app, owner, "m@example.com", "MANAGER").await;
        let seen = manager.get(&format!("/v1/team-invites/{}", text(&made["id"]))).await.expect(200);
        assert_eq!(seen["workspaceIds"], json!([gone]));
        owner.delete(&format!("/v1/workspaces/{gone}")).await.expect(204);
        let token = mails::token(&app, "new@example.com", "TEAM_INVITE").await;
        let accept = json!({ "token": token, "password": PASSWORD });
        app.anyone().post("/v1/auth/invites/accept", accept).await.expect(200);
        let person = sign_in(&app, "new@example.com").await;
        let teams = person.get("/v1/team-members?workspaceId=".to_owned().as_str()).await;
        assert_eq!(teams.status, 422, "an id is an id: {}", teams.text);
        let user = id_of(&person).await;
        let teams = person.get(&format!("/v1/team-members?userId={user}")).await.expect(200);
        let mine: Vec<_> = teams["data"].as_array().unwrap().iter().map(|row| (&row["workspaceId"], &row["role"])).collect();
        assert_eq!(mine, [(&json!(strict), &json!("OPERATOR"))]);
        person.get(&format!("/v1/workspaces/{strict}")).await.expect(200);
        let log = owner.get("/v1/audit-logs?action=accept_invite").await.expect(200);
        assert_eq!(log["data"][0]["newData"]["workspaceIds"], json!([strict]));
    }

    async fn an_exported_person_is_told_their_teams(app: App) {
        let owner = &app.acme.owner;
        let person = member(&app, owner, "p@example.com", "VIEWER").await;
        let space = workspace(owner, "a", "STRICT").await;
        let user = id_of(&person).await;
        let body = json!({ "workspaceId": space, "userId": user, "skills": ["juggling"] });
        owner.post("/v1/team-members", body).await.expect(201);
        let request = owner.post("/v1/privacy-requests", json!({ "kind": "EXPORT", "userId": user })).await.expect(201);
        let lines = owner.get(&format!("/v1/privacy-requests/{}/export", text(&request["id"]))).await;
        assert!(lines.text.contains("juggling"), "{}", lines.text);
    }
}
