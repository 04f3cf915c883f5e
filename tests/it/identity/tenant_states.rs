//! Suspending, resuming, closing and reopening, by the platform and by owners.

use serde_json::{Value, json};

use crate::support::{App, Client, people};

async fn act(app: &App, action: &str, body: Value) -> crate::support::Answer {
    app.admin.post(&format!("/v1/tenants/{}/{action}", app.acme.id), body).await
}

async fn status(caller: &Client) -> Value {
    caller.get("/v1/tenant").await.expect(200)["status"].clone()
}

async fn told(caller: &Client) -> Vec<String> {
    let inbox = caller.get("/v1/notifications").await.expect(200);
    inbox["data"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn a_suspended_tenant_knows_why_and_is_resumed_once(app: App) {
        let owner = &app.acme.owner;
        let made = owner.get("/v1/tenant").await.expect(200);
        let suspended = act(&app, "suspend", json!({ "reason": "An invoice is overdue." })).await.expect(200);
        assert_eq!((&suspended["status"], &suspended["statusReason"]), (&json!("SUSPENDED"), &json!("An invoice is overdue.")));
        assert!(suspended["revision"].as_i64() > made["revision"].as_i64());
        assert_eq!(act(&app, "suspend", json!({})).await.problem(409), "invalid_transition");
        assert!(told(owner).await.contains(&"TENANT_SUSPENDED".to_owned()));
        assert!(!told(&app.rival.owner).await.contains(&"TENANT_SUSPENDED".to_owned()));
        assert_eq!(owner.get("/v1/whoami").await.expect(200)["tenant"]["status"], "SUSPENDED");
        assert_eq!(owner.patch("/v1/tenant", json!({ "name": "x" })).await.problem(403), "tenant_suspended");
        let resumed = act(&app, "resume", Value::Null).await.expect(200);
        assert_eq!((&resumed["status"], &resumed["statusReason"]), (&json!("ACTIVE"), &Value::Null));
        assert_eq!(act(&app, "resume", Value::Null).await.problem(409), "invalid_transition");
        owner.patch("/v1/tenant", json!({ "name": "x" })).await.expect(200);
        for action in ["suspend", "resume", "close", "reopen"] {
            let nobodys = "/v1/tenants/01980000-0000-7000-8000-00000000dead";
            assert_eq!(app.admin.post(&format!("{nobodys}/{action}"), json!({})).await.problem(404), "not_found");
            let own = format!("/v1/tenants/{}/{action}", app.acme.id);
            assert_eq!(owner.post(&own, json!({})).await.problem(403), "permission_missing");
        }
    }

    async fn an_owner_closes_and_any_owner_reopens(app: App) {
        let owner = &app.acme.owner;
        let second = people::member(&app, owner, "second@acme.example.com", "OWNER").await;
        let admin = people::member(&app, owner, "admin@acme.example.com", "ADMIN").await;
        let key = app.acme.key(&app, &["*"]).await;
        let body = json!({ "slug": "acme", "eraseAfterDays": 7 });
        assert_eq!(admin.post("/v1/tenant/close", body.clone()).await.problem(403), "permission_missing");
        assert_eq!(key.post("/v1/tenant/close", body.clone()).await.problem(403), "person_only");
        for (slug, days) in [("rival", 7), ("acme", 0), ("acme", 91)] {
            let wrong = json!({ "slug": slug, "eraseAfterDays": days });
            assert_eq!(owner.post("/v1/tenant/close", wrong).await.problem(422), "invalid");
        }
        assert_eq!(status(owner).await, "ACTIVE");
        let closed = owner.post_once("/v1/tenant/close", "k", body.clone()).await.expect(200);
        assert_eq!(owner.post_once("/v1/tenant/close", "k", body.clone()).await.expect(200), closed);
        let time = |field: &str| closed[field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert_eq!(time("eraseAt") - time("closedAt"), chrono::TimeDelta::days(7));
        assert!(closed["closedBy"].as_str().unwrap().starts_with("user:"));
        assert!(told(&second).await.contains(&"TENANT_CLOSING".to_owned()));
        assert_eq!(owner.post("/v1/tenant/close", body).await.problem(409), "invalid_transition");
        assert_eq!(owner.post("/v1/task-runs", json!({ "agentId": app.acme.id, "input": "x" })).await.problem(403), "tenant_closing");
        assert_eq!(act(&app, "suspend", json!({})).await.problem(409), "invalid_transition");
        let reopened = second.post("/v1/tenant/reopen", Value::Null).await.expect(200);
        assert_eq!(reopened["status"], "ACTIVE");
        assert!(["eraseAt", "closedAt", "closedBy"].iter().all(|field| reopened[field].is_null()));
        assert_eq!(second.post("/v1/tenant/reopen", Value::Null).await.problem(409), "invalid_transition");
        let log = owner.get("/v1/audit-logs?limit=20").await.expect(200);
        let closing = log["data"].as_array().unwrap().iter().find(|row| row["action"] == "close_current_tenant").unwrap();
        assert_eq!((&closing["oldData"]["status"], &closing["newData"]["status"]), (&json!("ACTIVE"), &json!("CLOSING")));
    }

    async fn closing_is_no_way_out_of_a_suspension(app: App) {
        let owner = &app.acme.owner;
        act(&app, "suspend", json!({ "reason": "abuse" })).await.expect(200);
        owner.post("/v1/tenant/close", json!({ "slug": "acme" })).await.expect(200);
        let reopened = owner.post("/v1/tenant/reopen", Value::Null).await.expect(200);
        assert_eq!((&reopened["status"], &reopened["statusReason"]), (&json!("SUSPENDED"), &json!("abuse")));
        assert_eq!(owner.post("/v1/agents", json!({ "name": "x" })).await.problem(403), "tenant_suspended");
    }

    async fn what_the_platform_closed_the_platform_reopens(app: App) {
        act(&app, "close", json!({})).await.expect(200);
        assert_eq!(app.acme.owner.post("/v1/tenant/reopen", Value::Null).await.problem(403), "closed_by_platform");
        assert_eq!(status(&app.acme.owner).await, "CLOSING");
        act(&app, "reopen", Value::Null).await.expect(200);
        assert_eq!(status(&app.acme.owner).await, "ACTIVE");
    }

    async fn the_home_of_the_platforms_administrator_stays_open(app: App) {
        let home = app.admin.get("/v1/tenant").await.expect(200);
        let path = format!("/v1/tenants/{}/close", home["id"].as_str().unwrap());
        assert_eq!(app.admin.post(&path, json!({})).await.problem(409), "platform_home");
        let own = json!({ "slug": home["slug"] });
        assert_eq!(app.admin.post("/v1/tenant/close", own).await.problem(409), "platform_home");
        // With a place in another tenant it is one among others.
        app.acme.owner.post("/v1/memberships", json!({ "email": "admin@example.com", "role": "VIEWER" })).await.expect(201);
        let mine = app.admin.get("/v1/me/memberships").await.expect(200);
        let invited = mine["data"].as_array().unwrap().iter().find(|place| place["status"] == "INVITED").unwrap();
        app.admin.post(&format!("/v1/me/memberships/{}/accept", invited["id"].as_str().unwrap()), Value::Null).await.expect(200);
        app.admin.post(&path, json!({})).await.expect(200);
        // Its administrator still acts for the platform, from there.
        app.admin.post(&path.replace("close", "reopen"), Value::Null).await.expect(200);
    }

    async fn of_many_who_close_at_once_one_does(app: App) {
        let close = || app.acme.owner.post("/v1/tenant/close", json!({ "slug": "acme" }));
        let statuses: Vec<_> =
            futures_util::future::join_all((0..20).map(|_| close())).await.iter().map(|one| one.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 403, 409].contains(status)), "{statuses:?}");
    }
}
