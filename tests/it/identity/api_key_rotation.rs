//! A key's secret is changed while programs use it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Client};

async fn made(app: &App, by: &Client, scopes: Value) -> (Client, String) {
    let made = by.post("/v1/api-keys", json!({ "name": "k", "scopes": scopes })).await.expect(201);
    let key = app.anyone().with_key(made["key"].as_str().unwrap());
    (key, format!("/v1/api-keys/{}", made["id"].as_str().unwrap()))
}

fn with(app: &App, rotated: &Value) -> Client {
    app.anyone().with_key(rotated["key"].as_str().unwrap())
}

on_both! { manual;
    async fn both_secrets_work_until_the_overlap_is_over(app: App) {
        let owner = &app.acme.owner;
        let (old, path) = made(&app, owner, json!(["agents:read"])).await;
        let before = owner.get(&path).await.expect(200);
        let ask = json!({ "overlapSeconds": 60 });
        let rotated = owner.post_once(&format!("{path}/rotate"), "r", ask.clone()).await.expect(200);
        assert_eq!(owner.post_once(&format!("{path}/rotate"), "r", ask).await.expect(200), rotated);
        let new = with(&app, &rotated);
        for field in ["id", "scopes", "expiresAt", "createdBy", "name"] {
            assert_eq!(rotated[field], before[field], "{field}");
        }
        assert_ne!((&rotated["last4"], &rotated["rotatedAt"]), (&before["last4"], &json!(null)));
        old.get("/v1/agents").await.expect(200);
        new.get("/v1/agents").await.expect(200);
        assert!(!owner.get(&path).await.text.contains(rotated["key"].as_str().unwrap()));

        app.core.clock.advance(Duration::from_secs(61));
        assert_eq!(old.get("/v1/agents").await.problem(401), "invalid_api_key");
        new.get("/v1/agents").await.expect(200);
    }
}

on_both! {
    async fn a_second_rotation_ends_the_oldest_secret_and_none_ends_it_at_once(app: App) {
        let owner = &app.acme.owner;
        let (first, path) = made(&app, owner, json!(["agents:read"])).await;
        let rotate = format!("{path}/rotate");
        let second = with(&app, &owner.post(&rotate, json!({})).await.expect(200));
        first.get("/v1/agents").await.expect(200);
        let third = with(&app, &owner.post(&rotate, json!({ "overlapSeconds": 604_800 })).await.expect(200));
        assert_eq!(first.get("/v1/agents").await.problem(401), "invalid_api_key");
        second.get("/v1/agents").await.expect(200);
        third.get("/v1/agents").await.expect(200);
        let fourth = owner.post(&rotate, json!({ "overlapSeconds": 0 })).await.expect(200);
        assert_eq!(fourth["previousExpiresAt"], json!(null));
        for old in [&second, &third] {
            assert_eq!(old.get("/v1/agents").await.problem(401), "invalid_api_key");
        }
        owner.delete(&path).await.expect(204);
        assert_eq!(with(&app, &fourth).get("/v1/agents").await.problem(401), "invalid_api_key");
        assert_eq!(owner.post(&rotate, json!({})).await.problem(409), "key_not_live");
    }

    async fn a_revoked_key_has_no_secret_that_works(app: App) {
        let owner = &app.acme.owner;
        let (old, path) = made(&app, owner, json!(["agents:read"])).await;
        let new = with(&app, &owner.post(&format!("{path}/rotate"), json!({})).await.expect(200));
        owner.delete(&path).await.expect(204);
        for secret in [old, new] {
            assert_eq!(secret.get("/v1/agents").await.problem(401), "invalid_api_key");
        }
    }

    async fn a_key_rotates_itself_and_gets_no_others_secret(app: App) {
        let owner = &app.acme.owner;
        let (strong, strong_path) = made(&app, owner, json!(["*"])).await;
        let (weak, weak_path) = made(&app, owner, json!(["api-keys:write"])).await;
        let refused = weak.post(&format!("{strong_path}/rotate"), json!({})).await;
        assert!(!refused.text.contains("mc_live_"));
        assert_eq!(refused.problem(403), "person_only");
        assert_eq!(strong.post(&format!("{weak_path}/rotate"), json!({})).await.problem(403), "person_only");
        let own = weak.post(&format!("{weak_path}/rotate"), json!({})).await.expect(200);
        assert_eq!(own["scopes"], json!(["api-keys:write"]));
        strong.get("/v1/agents").await.expect(200);
        assert_eq!(app.rival.owner.post(&format!("{weak_path}/rotate"), json!({})).await.problem(404), "not_found");
        for (wrong, pointer) in [
            (json!({ "overlapSeconds": -1 }), "/overlapSeconds"),
            (json!({ "overlapSeconds": 604_801 }), "/overlapSeconds"),
            (json!({ "overlapSeconds": "1" }), "/overlapSeconds"),
            (json!({ "scopes": ["*"] }), "/scopes"),
            (json!({ "expiresAt": null }), "/expiresAt"),
        ] {
            let refused = owner.post(&format!("{weak_path}/rotate"), wrong).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer);
            refused.expect(422);
        }
    }
}
