//! `/v1/me`: one's own account.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::people::{member, sign_in, verified};
use crate::support::{App, Client, PASSWORD, mails};

const OTHER: &str = "another password of one's own";

async fn login(app: &App, email: &str, password: &str) -> u16 {
    app.anyone().post("/v1/auth/login", json!({ "email": email, "password": password })).await.status
}

async fn delete(person: &Client) -> crate::support::Answer {
    person.post("/v1/me/delete", json!({ "password": PASSWORD })).await
}

on_both! {
    idle;
    async fn a_profile_is_read_and_changed_by_its_revision(app: App) {
        let me = app.acme.owner.get("/v1/me").await;
        let tag = me.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(me.expect(200)["email"], app.acme.owner_email.as_str());
        let changed = json!({ "name": "Ada", "image": "https://example.org/a.png" });
        let changed = app.acme.owner.patch("/v1/me", changed).await.expect(200);
        assert_eq!((&changed["name"], &changed["image"]), (&json!("Ada"), &json!("https://example.org/a.png")));
        let late = app.acme.owner.request("PATCH", "/v1/me").header("if-match", tag).json(&json!({ "name": "Eve" }));
        assert_eq!(app.acme.owner.send(late).await.problem(412), "revision_changed");
        let cleared = app.acme.owner.patch("/v1/me", json!({ "image": null })).await.expect(200);
        assert_eq!((&cleared["name"], &cleared["image"]), (&json!("Ada"), &Value::Null));
        for (field, bad) in [
            ("image", json!("http://example.org")), ("image", json!("javascript:alert(1)")), ("name", json!("")),
            ("tenantId", json!(app.rival.id)), ("tenantId", json!(null)),
        ] {
            let refused = app.acme.owner.patch("/v1/me", json!({ field: bad })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], format!("/{field}"));
            refused.expect(422);
        }
    }

    async fn mass_assignment_of_ones_own_account(app: App) {
        let before = app.acme.owner.get("/v1/me").await.expect(200);
        for (field, value) in [
            ("email", json!("x@example.com")), ("platformRole", json!("ADMIN")), ("isActive", json!(false)),
            ("emailVerifiedAt", json!("2026-01-01T00:00:00Z")), ("passwordHash", json!("x")), ("password", json!("x")),
            ("role", json!("OWNER")), ("revision", json!(9)), ("id", json!(app.rival.id)), ("createdAt", json!("2026-01-01T00:00:00Z")),
        ] {
            let refused = app.acme.owner.patch("/v1/me", json!({ field: value })).await;
            assert_eq!(refused.body["errors"][0]["code"], "unknown_field", "{field}: {}", refused.text);
        }
        assert_eq!(app.acme.owner.get("/v1/me").await.expect(200), before);
    }

    async fn a_changed_password_ends_the_other_sessions(app: App) {
        let email = app.acme.owner_email.clone();
        let (here, elsewhere) = (sign_in(&app, &email).await, sign_in(&app, &email).await);
        let wrong = json!({ "currentPassword": OTHER, "newPassword": OTHER });
        assert_eq!(here.post("/v1/me/password", wrong).await.body["errors"][0]["pointer"], "/currentPassword");
        let weak = json!({ "currentPassword": PASSWORD, "newPassword": "short" });
        assert_eq!(here.post("/v1/me/password", weak).await.body["errors"][0]["pointer"], "/newPassword");
        elsewhere.get("/v1/whoami").await.expect(200);
        let change = json!({ "currentPassword": PASSWORD, "newPassword": OTHER });
        here.post("/v1/me/password", change).await.expect(204);
        here.get("/v1/whoami").await.expect(200);
        assert_eq!(elsewhere.get("/v1/whoami").await.problem(401), "session_ended");
        assert_eq!((login(&app, &email, PASSWORD).await, login(&app, &email, OTHER).await), (401, 200));
        assert_eq!(mails::to(&app, &email).await[0]["kind"], "SECURITY_NOTICE");
    }

    async fn brute_force_of_the_current_password_is_throttled(app: App) {
        let guess = json!({ "currentPassword": OTHER, "newPassword": OTHER });
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(app.acme.owner.post("/v1/me/password", guess.clone()).await.status);
        }
        assert_eq!((statuses[0], statuses[11]), (422, 429), "{statuses:?}");
    }

    async fn devices_are_listed_and_signed_out(app: App) {
        let email = app.acme.owner_email.clone();
        let (here, elsewhere) = (sign_in(&app, &email).await, sign_in(&app, &email).await);
        let listed = here.get("/v1/me/sessions").await.expect(200);
        let listed = listed["data"].as_array().unwrap();
        assert_eq!(listed.iter().filter(|session| session["isCurrent"] == true).count(), 1);
        let other = elsewhere.get("/v1/whoami").await.expect(200)["credential"]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/me/sessions/{other}");
        assert_eq!(app.rival.owner.delete(&path).await.problem(404), "not_found");
        here.delete(&path).await.expect(204);
        assert_eq!(elsewhere.get("/v1/whoami").await.problem(401), "session_ended");
        assert_eq!(here.delete(&path).await.problem(404), "not_found");
        here.get("/v1/whoami").await.expect(200);
    }

    async fn ones_data_is_exported_without_secrets(app: App) {
        let key = app.acme.owner.post("/v1/api-keys", json!({ "name": "mine", "scopes": ["*"] })).await.expect(201);
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": app.acme.owner_email })).await.expect(202);
        app.anyone().post("/v1/auth/forgot-password", json!({ "email": app.rival.owner_email })).await.expect(202);
        let elsewhere = sign_in(&app, &app.acme.owner_email).await;
        let ended = elsewhere.get("/v1/whoami").await.expect(200)["credential"]["id"].clone();
        elsewhere.post("/v1/auth/logout", json!({})).await.expect(204);
        let data = app.acme.owner.get("/v1/me/export").await;
        for secret in [key["key"].as_str().unwrap(), "argon2"] {
            assert!(!data.text.contains(secret));
        }
        let data = data.expect(200);
        assert_eq!(data["profile"]["email"], app.acme.owner_email.as_str());
        assert_eq!(data["memberships"][0]["tenant"]["id"], app.acme.id.as_str());
        assert_eq!(data["apiKeys"][0]["id"], key["id"]);
        let sessions = data["sessions"].as_array().unwrap();
        assert!(sessions.iter().any(|session| session["id"] == ended && session["endedAt"].is_string()), "{sessions:?}");
        assert!(sessions.iter().any(|session| session["isCurrent"] == true && session["endedAt"].is_null()));
        let mails = data["mails"].as_array().unwrap();
        assert!(mails.iter().any(|mail| mail["kind"] == "RESET_PASSWORD"), "{mails:?}");
        assert!(mails.iter().all(|mail| mail["recipient"] == app.acme.owner_email.as_str()), "{mails:?}");
        assert_eq!(data["devices"].as_array().unwrap().len(), 1);
        assert_eq!(data["incomplete"], json!([]));
    }

    async fn who_deletes_themselves_is_forgotten(app: App) {
        let person = verified(&app, &app.acme.owner, "leaver@example.com", "MANAGER").await;
        let key = person.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
        let wrong = person.post("/v1/me/delete", json!({ "password": OTHER })).await;
        assert_eq!(wrong.body["errors"][0]["code"], "wrong_password");
        delete(&person).await.expect(204);
        assert_eq!(person.get("/v1/whoami").await.problem(401), "session_ended");
        let key = app.anyone().with_key(key["key"].as_str().unwrap());
        assert_eq!(key.get("/v1/whoami").await.problem(401), "invalid_api_key");
        assert_eq!(login(&app, "leaver@example.com", PASSWORD).await, 401);
        let members = app.acme.owner.get("/v1/memberships").await;
        assert!(!members.text.contains("leaver"), "{}", members.text);
        member(&app, &app.acme.owner, "leaver@example.com", "VIEWER").await.get("/v1/whoami").await.expect(200);
    }

    async fn the_last_owner_and_the_last_administrator_stay(app: App) {
        assert_eq!(delete(&app.acme.owner).await.problem(409), "last_owner");
        assert!(matches!(delete(&app.admin).await.problem(409).as_str(), "last_owner" | "last_platform_admin"));
        let second = verified(&app, &app.acme.owner, "second@example.com", "OWNER").await;
        let (first, second) = join(delete(&app.acme.owner), delete(&second)).await;
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409], "of two owners who leave at once one stays");
    }

    async fn an_api_key_has_no_account(app: App) {
        let key = app.acme.key(&app, &["*"]).await;
        for path in ["/v1/me", "/v1/me/sessions", "/v1/me/export"] {
            assert_eq!(key.get(path).await.problem(403), "person_only");
        }
        assert_eq!(key.post("/v1/me/delete", json!({ "password": PASSWORD })).await.problem(403), "person_only");
    }
}
