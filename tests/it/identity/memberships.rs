//! `/v1/memberships` as a caller sees it.

use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD};

/// A new member who has signed in, with the membership's path.
async fn member(app: &App, email: &str, role: &str) -> (Client, String) {
    let body = json!({ "email": email, "role": role, "password": PASSWORD });
    let made = app.acme.owner.post("/v1/memberships", body).await.expect(201);
    let tokens = app
        .anyone()
        .post("/v1/auth/login", json!({ "email": email, "password": PASSWORD }))
        .await
        .expect(200);
    assert_eq!(tokens["tenantId"], app.acme.id.as_str());
    let path = format!("/v1/memberships/{}", made["id"].as_str().unwrap());
    (app.anyone().with_token(tokens["accessToken"].as_str().unwrap()), path)
}

async fn own(app: &App) -> String {
    let owners = app.acme.owner.get("/v1/memberships?role=OWNER").await.expect(200);
    format!("/v1/memberships/{}", owners["data"][0]["id"].as_str().unwrap())
}

on_both! {
    async fn adding_a_person_does_not_tell_whether_they_were_known(app: App) {
        let mut answers = Vec::new();
        for email in ["new@example.com", app.rival.owner_email.as_str()] {
            let body = json!({ "email": email, "name": "Given", "password": PASSWORD });
            let mut made = app.acme.owner.post("/v1/memberships", body).await.expect(201);
            let seen = app.acme.owner.get(&format!("/v1/memberships/{}", made["id"].as_str().unwrap())).await.expect(200);
            assert_eq!(seen, made);
            for field in ["id", "email", "createdAt", "updatedAt"] {
                made[field] = Value::Null;
            }
            answers.push(made);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0]["status"], "INVITED");
    }

    async fn role_raised_by_oneself(app: App) {
        let (admin, path) = member(&app, "admin@acme.example.com", "ADMIN").await;
        let owner = own(&app).await;
        assert_eq!(admin.patch(&path, json!({ "role": "OWNER" })).await.problem(403), "role_above_own");
        assert_eq!(admin.patch(&owner, json!({ "role": "VIEWER" })).await.problem(403), "role_above_own");
        assert_eq!(admin.delete(&owner).await.problem(403), "role_above_own");
        let body = json!({ "email": "x@example.com", "role": "OWNER" });
        assert_eq!(admin.post("/v1/memberships", body).await.problem(403), "role_above_own");
        admin.post("/v1/memberships", json!({ "email": "x@example.com", "role": "ADMIN" })).await.expect(201);
        let key = app.acme.key(&app, &["memberships:write"]).await;
        let body = json!({ "email": "y@example.com", "role": "VIEWER" });
        assert_eq!(key.post("/v1/memberships", body).await.problem(403), "role_above_own");
    }

    async fn a_change_acts_on_live_tokens(app: App) {
        let (manager, path) = member(&app, "m@example.com", "MANAGER").await;
        let key = manager.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        key.get("/v1/api-keys").await.expect(200);
        app.acme.owner.patch(&path, json!({ "role": "VIEWER" })).await.expect(200);
        assert_eq!(manager.get("/v1/api-keys").await.problem(403), "permission_missing");
        assert_eq!(key.get("/v1/api-keys").await.problem(403), "permission_missing");
        app.acme.owner.delete(&path).await.expect(204);
        assert_eq!(manager.get("/v1/whoami").await.problem(401), "session_ended");
        assert_eq!(key.get("/v1/whoami").await.problem(401), "invalid_api_key");
    }

    async fn the_last_owner_stays_also_when_two_demote_each_other(app: App) {
        let first = own(&app).await;
        for end in [json!({ "role": "ADMIN" }), json!({ "status": "SUSPENDED" })] {
            assert_eq!(app.acme.owner.patch(&first, end).await.problem(409), "last_owner");
        }
        assert_eq!(app.acme.owner.delete(&first).await.problem(409), "last_owner");
        let (other, second) = member(&app, "second@example.com", "OWNER").await;
        let demote = |path: String, by: Client| async move { by.patch(&path, json!({ "role": "ADMIN" })).await };
        let both = tokio::join!(demote(second.clone(), app.acme.owner.clone()), demote(first.clone(), other.clone()));
        let mut statuses = [both.0.status, both.1.status];
        statuses.sort_unstable();
        assert!(matches!(statuses, [200, 403 | 409]), "{statuses:?}");
        let owners = other.get("/v1/memberships?role=OWNER&status=ACTIVE").await.expect(200);
        assert_eq!(owners["data"].as_array().unwrap().len(), 1);
    }

    async fn who_chose_the_password_of_an_unverified_person_gets_into_no_other_tenant(app: App) {
        let victim = "victim@example.com";
        let (planted, _) = member(&app, victim, "VIEWER").await;
        app.rival.owner.post("/v1/memberships", json!({ "email": victim, "role": "ADMIN" })).await.expect(201);
        let login = json!({ "email": victim, "password": PASSWORD, "tenantId": app.rival.id });
        assert_eq!(app.anyone().post("/v1/auth/login", login.clone()).await.problem(403), "no_membership");
        let mine = planted.get("/v1/me/memberships").await.expect(200);
        let place = mine["data"].as_array().unwrap().iter().find(|place| place["status"] == "INVITED").unwrap();
        let accept = format!("/v1/me/memberships/{}/accept", place["id"].as_str().unwrap());
        assert_eq!(planted.post(&accept, json!({})).await.problem(403), "email_unverified");
        assert_eq!(app.anyone().post("/v1/auth/login", login).await.problem(403), "no_membership");

        let tenant = json!({ "name": "Third", "slug": "third", "owner": { "email": victim } });
        assert_eq!(app.admin.post("/v1/tenants", tenant).await.problem(409), "owner_unverified");
        let slugs = app.admin.get("/v1/tenants").await;
        assert!(!slugs.text.contains("third"), "{}", slugs.text);
    }

    async fn an_invitation_that_cannot_be_accepted_does_not_hide_one_that_can(app: App) {
        let email = "both@example.com";
        let body = json!({ "email": email, "password": PASSWORD });
        let first = app.acme.owner.post("/v1/memberships", body.clone()).await.expect(201);
        app.rival.owner.post("/v1/memberships", json!({ "email": email })).await.expect(201);
        app.acme.owner.delete(&format!("/v1/memberships/{}", first["id"].as_str().unwrap())).await.expect(204);
        assert_eq!(app.anyone().post("/v1/auth/login", body.clone()).await.problem(403), "email_unverified");
        app.acme.owner.post("/v1/memberships", json!({ "email": email })).await.expect(201);
        let entered = app.anyone().post("/v1/auth/login", body).await.expect(200);
        assert_eq!(entered["tenantId"], app.acme.id.as_str());
    }

    async fn another_tenants_membership_is_not_there(app: App) {
        let path = own(&app).await;
        assert_eq!(app.rival.owner.get(&path).await.problem(404), "not_found");
        assert_eq!(app.rival.owner.patch(&path, json!({ "role": "VIEWER" })).await.problem(404), "not_found");
        assert_eq!(app.rival.owner.delete(&path).await.problem(404), "not_found");
    }
}

on_both! {
    manual;
    async fn a_removed_members_live_token_is_refused_within_a_second(app: App) {
        let (person, path) = member(&app, "m@example.com", "MANAGER").await;
        let key = person.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        person.get("/v1/agents").await.expect(200);
        key.get("/v1/agents").await.expect(200);
        // As another node does it: this one is not told.
        let id: uuid::Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
        let tx = app.core.db.system(service::db::Reason::People).begin().await.unwrap();
        let gone = tx.execute("DELETE FROM membership WHERE id = $1", vec![id.into()]).await.unwrap();
        assert_eq!(gone.rows_affected(), 1);
        tx.commit().await.unwrap();
        app.core.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(person.get("/v1/agents").await.problem(401), "session_ended");
        assert_eq!(key.get("/v1/agents").await.problem(401), "invalid_api_key");
    }
}
