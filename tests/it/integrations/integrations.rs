//! `/v1/integrations` as a caller sees it.

use serde_json::json;

use crate::support::model_server::{ModelServer, Reply};

on_both! {
    async fn a_credential_comes_out_nowhere(app: App) {
        let body = json!({ "name": "p", "type": "LLM_OPENAI_COMPATIBLE", "config": { "baseUrl": "http://127.0.0.1:9/v1" },
            "credentials": { "apiKey": "sk-hidden" } });
        let made = app.acme.owner.post_once("/v1/integrations", "k", body.clone()).await;
        let path = format!("/v1/integrations/{}", made.body["id"].as_str().unwrap());
        assert_eq!(made.body["hasCredentials"], true);
        let again = app.acme.owner.post_once("/v1/integrations", "k", body).await;
        assert_eq!(again.body, made.body);
        let tested = app.acme.owner.post(&format!("{path}/test"), json!({})).await;
        assert_eq!(tested.body["integration"]["status"], "ERROR");
        let listed = app.acme.owner.get("/v1/integrations").await;
        let read = app.acme.owner.get(&path).await;
        for answer in [made, again, tested, listed, read] {
            assert!(!answer.text.contains("sk-hidden"), "{}", answer.text);
        }
    }

    async fn a_credential_does_not_follow_to_another_host(app: App) {
        let body = json!({ "name": "g", "type": "GENERIC_HTTP", "config": { "allowedHosts": ["a.example"] },
            "credentials": { "apiKey": "s" } });
        let id = app.acme.owner.post("/v1/integrations", body).await.expect(201)["id"].clone();
        let path = format!("/v1/integrations/{}", id.as_str().unwrap());
        let moved = json!({ "config": { "allowedHosts": ["b.example"] } });
        let refused = app.acme.owner.patch(&path, moved.clone()).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/credentials");
        let mut anew = moved;
        anew["credentials"] = json!({ "apiKey": "t" });
        app.acme.owner.patch(&path, anew).await.expect(200);
    }

    async fn no_url_leads_to_a_private_place(app: App) {
        let owner = &app.acme.owner;
        let hostile = [
            "http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://localhost/v1", "http://[::1]:8080/v1",
            "http://0xa9fea9fe/v1", "http://10.0.0.1/v1", "http://user:secret@127.0.0.1:9/v1", "file:///etc/passwd",
            "gopher://127.0.0.1/", "//127.0.0.1/v1", "not a url", "",
        ];
        for (at, url) in hostile.iter().enumerate() {
            let integration = json!({ "name": format!("i{at}"), "type": "LLM_OPENAI_COMPATIBLE", "config": { "baseUrl": url } });
            let tool = json!({ "name": format!("t{at}"), "type": "API", "config": { "method": "GET", "url": url } });
            for (path, body, pointer) in [("integrations", integration, "/config/baseUrl"), ("tools", tool, "/config/url")] {
                let refused = owner.post(&format!("/v1/{path}"), body).await.expect(422);
                assert_eq!(refused["errors"][0]["pointer"], pointer, "{url}: {refused}");
            }
        }
    }

    async fn a_test_is_made_once_a_key(app: App) {
        let server = ModelServer::start(|_| Reply::Frames(Vec::new()));
        let body = json!({ "name": "p", "type": "LLM_OPENAI_COMPATIBLE", "config": { "baseUrl": format!("{}/v1", server.url) } });
        let id = app.acme.owner.post("/v1/integrations", body).await.expect(201)["id"].clone();
        let path = format!("/v1/integrations/{}/test", id.as_str().unwrap());
        let asked = || *server.moments().borrow();
        let first = app.acme.owner.post_once(&path, "k", json!({})).await.expect(200);
        assert_eq!((&first["models"], asked()), (&json!(["stand-in"]), 1));
        assert_eq!(app.acme.owner.post_once(&path, "k", json!({})).await.expect(200), first);
        assert_eq!(asked(), 1);
        app.acme.owner.post_once(&path, "k", json!({ "other": 1 })).await.problem(422);
        let second = app.acme.owner.post(&path, json!({})).await.expect(200);
        assert_eq!(asked(), 2);
        assert_ne!(first["integration"]["revision"], second["integration"]["revision"]);
        assert_eq!(app.rival.owner.post_once(&path, "k", json!({})).await.problem(404), "not_found");
    }

    async fn an_integration_that_an_agent_uses_stays(app: App) {
        let body = json!({ "name": "p", "type": "LLM_OPENAI" });
        let id = app.acme.owner.post("/v1/integrations", body).await.expect(201)["id"].clone();
        app.acme.agent("a", json!({ "providerId": id })).await;
        let path = format!("/v1/integrations/{}", id.as_str().unwrap());
        assert_eq!(app.acme.owner.delete(&path).await.problem(409), "in_use");
        assert_eq!(app.rival.owner.delete(&path).await.problem(404), "not_found");
    }
}
