//! People, barred and let in again by administrators of the platform; and what people agree to.

use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD, eventually, mails, people};

async fn id_of(person: &Client) -> String {
    let whoami = person.get("/v1/whoami").await.expect(200);
    whoami["user"]["id"].as_str().unwrap().to_owned()
}

async fn deactivate(app: &App, id: &str) -> crate::support::Answer {
    app.admin.post(&format!("/v1/users/{id}/deactivate"), Value::Null).await
}

async fn reactivate(app: &App, id: &str) -> crate::support::Answer {
    app.admin.post(&format!("/v1/users/{id}/reactivate"), Value::Null).await
}

async fn login(app: &App, email: &str) -> u16 {
    app.anyone().post("/v1/auth/login", json!({ "email": email, "password": PASSWORD })).await.status
}

on_both! {
    async fn who_is_deactivated_has_nothing_left_to_act_with(app: App) {
        let email = "grace@example.org";
        let grace = people::verified(&app, &app.acme.owner, email, "MANAGER").await;
        let id = id_of(&grace).await;
        let made = grace.post("/v1/api-keys", json!({ "name": "hers", "scopes": ["*"] })).await.expect(201);
        let key = app.anyone().with_key(made["key"].as_str().unwrap());
        let body = json!({ "email": "x@example.org", "role": "VIEWER" });
        app.acme.owner.post("/v1/team-invites", body).await.expect(201);
        let tokens = json!({ "email": email, "password": PASSWORD });
        let tokens = app.anyone().post("/v1/auth/login", tokens).await.expect(200);
        assert_eq!(key.get("/v1/agents").await.status, 200);

        let barred = deactivate(&app, &id).await.expect(200);
        assert_eq!((&barred["isActive"], barred["deactivatedAt"].is_null()), (&json!(false), false));
        eventually("her session has ended", async || grace.get("/v1/whoami").await.status == 401).await;
        eventually("her key has ended", async || key.get("/v1/agents").await.status == 401).await;
        let refresh = json!({ "refreshToken": tokens["refreshToken"] });
        assert_eq!(app.anyone().post("/v1/auth/refresh", refresh).await.status, 401);
        assert_eq!(login(&app, email).await, 401);
        app.anyone().post("/v1/auth/magic-link", json!({ "email": email })).await.expect(202);
        assert_eq!(mails::to(&app, email).await[0]["status"], "DROPPED");
        let again = deactivate(&app, &id).await.expect(200);
        assert_eq!(again, barred);

        // Another session goes on, and the tenant's log tells; the other tenant's does not.
        let log = app.acme.owner.get("/v1/audit-logs?action=deactivate_user").await.expect(200);
        assert_eq!((log["data"].as_array().unwrap().len(), &log["data"][0]["resourceId"]), (1, &json!(id)));
        let log = app.rival.owner.get("/v1/audit-logs?action=deactivate_user").await.expect(200);
        assert_eq!(log["data"], json!([]));
        let notices = mails::to(&app, email).await;
        let told = notices.iter().filter(|mail| mail["subject"] == "Your account was deactivated").count();
        assert_eq!(told, 1);

        assert_eq!(reactivate(&app, &id).await.expect(200)["isActive"], true);
        assert_eq!(reactivate(&app, &id).await.expect(200)["deactivatedAt"], Value::Null);
        assert_eq!(login(&app, email).await, 200);
        assert_eq!(key.get("/v1/agents").await.status, 401, "what had ended stays so");
        assert_eq!(grace.get("/v1/whoami").await.status, 401);
    }

    async fn a_tenant_keeps_an_owner_who_may_act(app: App) {
        let first = id_of(&app.acme.owner).await;
        assert_eq!(deactivate(&app, &first).await.problem(409), "last_owner");
        let second = people::verified(&app, &app.acme.owner, "second@example.org", "OWNER").await;
        let id = id_of(&second).await;
        let members = app.acme.owner.get("/v1/memberships?role=OWNER").await.expect(200);
        let mine = members["data"].as_array().unwrap().iter().find(|row| row["userId"] == json!(first)).unwrap();
        let path = format!("/v1/memberships/{}", mine["id"].as_str().unwrap());

        deactivate(&app, &id).await.expect(200);
        assert_eq!(deactivate(&app, &first).await.problem(409), "last_owner");
        let demoted = app.acme.owner.patch(&path, json!({ "role": "ADMIN" })).await;
        assert_eq!(demoted.problem(409), "last_owner", "the other owner may not act");
        assert_eq!(app.acme.owner.delete(&path).await.problem(409), "last_owner");
        let leave = app.acme.owner.post("/v1/me/delete", json!({ "password": PASSWORD })).await;
        assert_eq!(leave.problem(409), "last_owner");
        reactivate(&app, &id).await.expect(200);
        app.acme.owner.patch(&path, json!({ "role": "ADMIN" })).await.expect(200);
    }

    async fn only_administrators_of_the_platform_bar_others_and_not_themselves(app: App) {
        let me = id_of(&app.admin).await;
        assert_eq!(deactivate(&app, &me).await.problem(409), "own_account");
        let key = app.admin.post("/v1/api-keys", json!({ "name": "all", "scopes": ["*"] })).await.expect(201);
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        let refused = key.post(&format!("/v1/users/{me}/deactivate"), Value::Null).await;
        assert_eq!(refused.problem(409), "own_account");
        let rival = id_of(&app.rival.owner).await;
        let path = format!("/v1/users/{rival}/deactivate");
        assert_eq!(app.acme.owner.post(&path, Value::Null).await.status, 403);
        let nobody = "/v1/users/0199a000-0000-7000-8000-000000000001/deactivate";
        assert_eq!(app.admin.post(nobody, Value::Null).await.status, 404);

        // Who deleted themselves is nobody any more.
        let gone = people::member(&app, &app.acme.owner, "gone@example.org", "VIEWER").await;
        let id = id_of(&gone).await;
        assert_eq!(app.admin.get(&format!("/v1/users/{id}")).await.expect(200)["email"], "gone@example.org");
        gone.post("/v1/me/delete", json!({ "password": PASSWORD })).await.expect(204);
        assert_eq!(app.admin.get(&format!("/v1/users/{id}")).await.status, 404);
        assert_eq!(reactivate(&app, &id).await.status, 404);
        let listed = app.admin.get("/v1/users?isActive=false").await.expect(200);
        assert_eq!(listed["data"], json!([]));
        let found = app.admin.get("/v1/users?email=OWNER@acme.example.com").await.expect(200);
        assert_eq!(found["data"].as_array().unwrap().len(), 1);
    }

    async fn consent_is_a_version_and_a_time(app: App) {
        let owner = &app.acme.owner;
        let none = owner.get("/v1/me").await.expect(200);
        assert_eq!(none["consents"], json!({ "terms": null, "privacy": null }));
        let accept = async |document: &str, version: &str| {
            owner.post("/v1/me/consents", json!({ "document": document, "version": version })).await
        };
        let first = accept("TERMS", "2026-11").await.expect(200);
        assert_eq!(first["consents"]["terms"]["version"], "2026-11");
        assert_eq!(first["consents"]["privacy"], Value::Null);
        assert_eq!(accept("TERMS", "2026-11").await.expect(200), first, "the first time counts");
        let both = accept("PRIVACY", "v2.1_a-b").await.expect(200);
        assert_eq!(both["consents"]["terms"], first["consents"]["terms"]);
        let newer = accept("TERMS", "2027-01").await.expect(200);
        assert_eq!(newer["consents"]["terms"]["version"], "2027-01");
        for bad in ["", "a b", "<b>", "é", &"x".repeat(65)] {
            accept("TERMS", bad).await.problem(422);
        }
        accept("COOKIES", "1").await.problem(422);
        let exported = owner.get("/v1/me/export").await.expect(200);
        assert_eq!(exported["profile"]["consents"], newer["consents"]);
        let log = owner.get("/v1/audit-logs?action=accept_document").await.expect(200);
        assert_eq!(log["data"].as_array().unwrap().len(), 3);
        assert_eq!(log["data"][0]["newData"]["before"], "2026-11");
        let theirs = app.rival.owner.get("/v1/me").await.expect(200);
        assert_eq!(theirs["consents"]["terms"], Value::Null);
    }
}
