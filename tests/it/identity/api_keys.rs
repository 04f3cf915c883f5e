//! `/v1/api-keys` as a caller sees it.

use serde_json::json;

use crate::support::PASSWORD;

on_both! {
    async fn a_key_is_shown_once_works_within_its_scopes_and_ends(app: App) {
        let owner = &app.acme.owner;
        let body = json!({ "name": "k", "scopes": ["api-keys:read"], "metadata": { "team": "blue" } });
        let made = owner.post_once("/v1/api-keys", "one", body.clone()).await.expect(201);
        assert_eq!(owner.post_once("/v1/api-keys", "one", body).await.expect(201), made);
        let secret = made["key"].as_str().unwrap();
        let key = app.anyone().with_key(secret);
        let bearer = app.anyone().with_token(secret);
        let listed = bearer.get("/v1/api-keys?metadata[team]=blue").await;
        assert!(!listed.text.contains(secret));
        assert_eq!(listed.expect(200)["data"].as_array().unwrap().len(), 1);
        let other = key.get("/v1/api-keys?metadata[team]=red").await.expect(200);
        assert_eq!(other["data"], json!([]));
        assert_eq!(key.get("/v1/tenant").await.problem(403), "permission_missing");
        assert_eq!(key.get("/v1/me/memberships").await.problem(403), "person_only");

        let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
        assert_eq!(app.rival.owner.delete(&path).await.problem(404), "not_found");
        owner.delete(&path).await.expect(204);
        owner.delete(&path).await.expect(204);
        assert_eq!(key.get("/v1/whoami").await.problem(401), "invalid_api_key");
        assert_ne!(owner.get(&path).await.expect(200)["revokedAt"], json!(null));
    }

    async fn a_key_never_makes_one_that_may_do_more(app: App) {
        let key = app.acme.key(&app, &["api-keys:write", "agents:read"]).await;
        key.post("/v1/api-keys", json!({ "name": "less", "scopes": ["agents:read"] })).await.expect(201);
        for more in ["*", "agents:write"] {
            let refused = key.post("/v1/api-keys", json!({ "name": "more", "scopes": [more] })).await;
            assert_eq!(refused.body["errors"][0]["pointer"], "/scopes/0");
            refused.expect(422);
        }
        let platform = json!({ "name": "more", "scopes": ["platform:tenants"] });
        app.acme.owner.post("/v1/api-keys", platform).await.expect(422);
    }

    async fn a_key_made_by_a_key_does_not_outlive_it(app: App) {
        let body = json!({ "name": "k", "scopes": ["*"], "expiresAt": "2099-01-01T00:00:00Z" });
        let made = app.acme.owner.post("/v1/api-keys", body).await.expect(201);
        let key = app.anyone().with_key(made["key"].as_str().unwrap());
        for (asked, given) in [
            (json!(null), "2099-01-01T00:00:00Z"),
            (json!("2199-01-01T00:00:00Z"), "2099-01-01T00:00:00Z"),
            (json!("2098-01-01T00:00:00Z"), "2098-01-01T00:00:00Z"),
        ] {
            let child = json!({ "name": "child", "scopes": ["*"], "expiresAt": asked });
            assert_eq!(key.post("/v1/api-keys", child).await.expect(201)["expiresAt"], given);
        }
    }

    async fn keys_of_those_who_may_do_more_are_out_of_reach(app: App) {
        let body = json!({ "email": "m@example.com", "role": "MANAGER", "password": PASSWORD });
        let place = app.acme.owner.post("/v1/memberships", body.clone()).await.expect(201);
        let login = json!({ "email": "m@example.com", "password": PASSWORD });
        let tokens = app.anyone().post("/v1/auth/login", login).await.expect(200);
        let manager = app.anyone().with_token(tokens["accessToken"].as_str().unwrap());
        let made = |by: crate::support::Client| async move {
            let made = by.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
            format!("/v1/api-keys/{}", made["id"].as_str().unwrap())
        };
        let (owners, own, other) = (made(app.acme.owner.clone()).await, made(manager.clone()).await, made(manager.clone()).await);
        assert_eq!(manager.patch(&owners, json!({ "name": "x" })).await.problem(403), "role_above_own");
        assert_eq!(manager.delete(&owners).await.problem(403), "role_above_own");
        manager.patch(&own, json!({ "name": "x" })).await.expect(200);
        manager.delete(&own).await.expect(204);

        app.acme.owner.patch(&other, json!({ "name": "y" })).await.expect(200);
        app.acme.owner.delete(&format!("/v1/memberships/{}", place["id"].as_str().unwrap())).await.expect(204);
        assert_ne!(app.acme.owner.get(&other).await.expect(200)["revokedAt"], json!(null));
        assert_eq!(app.acme.owner.get(&owners).await.expect(200)["revokedAt"], json!(null));
    }

    async fn expiry_lies_in_the_future(app: App) {
        let body = json!({ "name": "k", "scopes": ["*"], "expiresAt": "2020-01-01T00:00:00Z" });
        let refused = app.acme.owner.post("/v1/api-keys", body).await;
        assert_eq!(refused.body["errors"][0]["pointer"], "/expiresAt");
        refused.expect(422);
    }
}
