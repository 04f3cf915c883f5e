//! `/v1/tokens`: what a front-end may be given, and all that it may not do with it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Client, PASSWORD, people};

const NOBODYS: &str = "01980000-0000-7000-8000-00000000dead";

async fn token(app: &App, by: &Client, run: &str, more: Value) -> Client {
    let mut body = json!({ "runId": run });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = by.post("/v1/tokens", body).await.expect(200);
    app.anyone().with_token(made["token"].as_str().unwrap())
}

/// A run that has ended, and one that waits for its time.
async fn runs(app: &App) -> (String, String) {
    let agent = app.acme.agent("a", json!({})).await;
    let ended =
        app.acme.run(json!({ "agentId": agent, "input": "x" })).await["id"].as_str().unwrap().to_owned();
    let later = app.core.clock.now() + chrono::TimeDelta::days(30);
    let waits = app.acme.create(json!({ "agentId": agent, "input": "x", "availableAt": later })).await;
    (ended, waits.trim_start_matches("/v1/task-runs/").to_owned())
}

async fn key(app: &App, by: &Client, scopes: &[&str]) -> (Client, String) {
    let made = by.post("/v1/api-keys", json!({ "name": "k", "scopes": scopes })).await.expect(201);
    let key = app.anyone().with_key(made["key"].as_str().unwrap());
    (key, format!("/v1/api-keys/{}", made["id"].as_str().unwrap()))
}

on_both! {
    async fn a_token_follows_its_run_and_sees_nothing_else(app: App) {
        let (run, other) = runs(&app).await;
        let (by_key, _) = key(&app, &app.acme.owner, &["task-runs:read", "task-runs:cancel", "task-runs:write", "agents:read", "approvals:decide"]).await;
        for maker in [&app.acme.owner, &by_key] {
            let token = token(&app, maker, &run, json!({ "scopes": ["task-runs:read", "task-runs:cancel"] })).await;
            assert_eq!(token.get(&format!("/v1/task-runs/{run}")).await.expect(200)["id"], run.as_str());
            token.get(&format!("/v1/task-runs/{run}/steps")).await.expect(200);
            let events = token.request("GET", &format!("/v1/task-runs/{run}/events")).header("accept", "text/event-stream");
            assert!(token.send(events).await.text.contains("event: run.completed"));
            let listed = token.get("/v1/task-runs?count=true").await.expect(200);
            assert_eq!((&listed["total"], &listed["data"][0]["id"]), (&json!(1), &json!(run)));
            for below in ["", "/events", "/steps"] {
                let hidden = token.get(&format!("/v1/task-runs/{other}{below}")).await;
                let missing = token.get(&format!("/v1/task-runs/{NOBODYS}{below}")).await;
                assert_eq!(hidden.body["detail"], missing.body["detail"]);
                assert_eq!((hidden.problem(404), missing.problem(404)), ("not_found".to_owned(), "not_found".to_owned()));
            }
            assert_eq!(token.post(&format!("/v1/task-runs/{other}/cancel"), json!({})).await.problem(404), "not_found");
            assert_eq!(app.acme.owner.get(&format!("/v1/task-runs/{other}")).await.expect(200)["status"], "PENDING");
        }
    }

    async fn a_token_does_no_other_operation(app: App) {
        let (run, _) = runs(&app).await;
        let token = token(&app, &app.acme.owner, &run, json!({})).await;
        let agent = app.acme.owner.get("/v1/agents").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
        for (path, body) in [
            (format!("/v1/task-runs/{run}/cancel"), json!({})),
            (format!("/v1/task-runs/{run}/retry"), json!({})),
            (format!("/v1/task-runs/{run}/replay"), json!({})),
            ("/v1/task-runs".to_owned(), json!({ "agentId": agent, "input": "x" })),
            (format!("/v1/approvals/{NOBODYS}/decide"), json!({ "decision": "APPROVE" })),
            ("/v1/api-keys".to_owned(), json!({ "name": "k", "scopes": ["task-runs:read"] })),
            (format!("/v1/agents/{agent}/pause"), json!({})),
        ] {
            assert_eq!(token.post(&path, body).await.problem(403), "permission_missing", "{path}");
        }
        for path in ["/v1/agents", "/v1/approvals", "/v1/tenant", "/v1/memberships", "/v1/audit-logs", "/v1/tenants"] {
            assert_eq!(token.get(path).await.problem(403), "permission_missing", "{path}");
        }
        for path in ["/v1/whoami", "/v1/me", "/v1/me/memberships", "/v1/me/sessions"] {
            assert_eq!(token.get(path).await.problem(403), "client_token_limited", "{path}");
        }
        let again = token.post("/v1/tokens", json!({ "runId": run })).await;
        assert_eq!(again.problem(403), "client_token_limited");
    }

    async fn a_token_cancels_its_run_and_the_log_says_so(app: App) {
        let (_, run) = runs(&app).await;
        let token = token(&app, &app.acme.owner, &run, json!({ "scopes": ["task-runs:cancel"] })).await;
        assert_eq!(token.get(&format!("/v1/task-runs/{run}")).await.problem(403), "permission_missing");
        let cancelled = token.post(&format!("/v1/task-runs/{run}/cancel"), json!({})).await.expect(200);
        assert_eq!(cancelled["status"], "CANCELLED");
        let rows = app.acme.owner.get("/v1/audit-logs?limit=3").await.expect(200);
        let cancel = rows["data"].as_array().unwrap().iter().find(|row| row["action"] == "cancel_task_run").unwrap();
        let made = rows["data"].as_array().unwrap().iter().find(|row| row["action"] == "create_token").unwrap();
        assert_eq!(cancel["actor"], format!("client-token:{}", made["resourceId"].as_str().unwrap()));
    }

    async fn a_token_is_worth_nothing_elsewhere(app: App) {
        let (run, _) = runs(&app).await;
        let made = app.acme.owner.post("/v1/tokens", json!({ "runId": run })).await.expect(200);
        let text = made["token"].as_str().unwrap();
        let refresh = app.anyone().post("/v1/auth/refresh", json!({ "refreshToken": text })).await;
        assert_eq!(refresh.problem(401), "invalid_refresh_token");
        assert_eq!(app.anyone().with_key(text).get("/v1/whoami").await.problem(401), "invalid_api_key");
        let forged = |header: &str| {
            use base64::Engine as _;
            let encode = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            let rest = text.split_once('.').unwrap().1;
            let kid: Value = serde_json::from_slice(&encode.decode(text.split('.').next().unwrap()).unwrap()).unwrap();
            let header = header.replace("KID", kid["kid"].as_str().unwrap());
            app.anyone().with_token(&format!("{}.{rest}", encode.encode(header)))
        };
        for header in [
            r#"{"typ":"at+jwt","alg":"EdDSA","kid":"KID"}"#,
            r#"{"typ":"client+jwt","alg":"none","kid":"KID"}"#,
            r#"{"typ":"client+jwt","alg":"HS256","kid":"KID"}"#,
            r#"{"typ":"client+jwt","alg":"EdDSA","kid":"other"}"#,
            r#"{"typ":"client+jwt","alg":"EdDSA"}"#,
        ] {
            assert_eq!(forged(header).get(&format!("/v1/task-runs/{run}")).await.problem(401), "invalid_token", "{header}");
        }
    }

    async fn a_token_ends_with_what_made_it(app: App) {
        let (run, _) = runs(&app).await;
        let path = format!("/v1/task-runs/{run}");
        let member = people::member(&app, &app.acme.owner, "o@example.com", "OPERATOR").await;
        let (by_key, key_path) = key(&app, &app.acme.owner, &["task-runs:read"]).await;
        let of_key = token(&app, &by_key, &run, json!({})).await;
        let login = json!({ "email": "o@example.com", "password": PASSWORD });
        let session = app.anyone().post("/v1/auth/login", login).await.expect(200);
        let signed_in = app.anyone().with_token(session["accessToken"].as_str().unwrap());
        let of_session = token(&app, &signed_in, &run, json!({})).await;
        let of_member = token(&app, &member, &run, json!({ "scopes": ["task-runs:read", "task-runs:cancel"] })).await;
        for token in [&of_key, &of_session, &of_member] {
            token.get(&path).await.expect(200);
        }
        app.acme.owner.delete(&key_path).await.expect(204);
        assert_eq!(of_key.get(&path).await.problem(401), "invalid_token");
        app.anyone().post("/v1/auth/logout", json!({ "refreshToken": session["refreshToken"] })).await.expect(204);
        assert_eq!(of_session.get(&path).await.problem(401), "invalid_token");

        let members = app.acme.owner.get("/v1/memberships").await.expect(200);
        let place = members["data"].as_array().unwrap().iter().find(|place| place["email"] == "o@example.com").unwrap();
        let place = format!("/v1/memberships/{}", place["id"].as_str().unwrap());
        app.acme.owner.patch(&place, json!({ "role": "VIEWER" })).await.expect(200);
        of_member.get(&path).await.expect(200);
        assert_eq!(of_member.post(&format!("{path}/cancel"), json!({})).await.problem(403), "permission_missing");
        app.acme.owner.delete(&place).await.expect(204);
        assert_eq!(of_member.get(&path).await.problem(401), "invalid_token");
    }

    async fn a_stream_ends_with_the_key_behind_its_token(app: App) {
        let (_, run) = runs(&app).await;
        let (by_key, key_path) = key(&app, &app.acme.owner, &["task-runs:read"]).await;
        let token = token(&app, &by_key, &run, json!({})).await;
        let request = token.request("GET", &format!("/v1/task-runs/{run}/events")).header("accept", "text/event-stream");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        app.acme.owner.delete(&key_path).await.expect(204);
        let text = response.text().await.unwrap();
        assert!(text.contains("event: error") && text.contains("invalid_token"), "{text}");
    }

    async fn what_a_token_is_for_is_bounded(app: App) {
        let (run, _) = runs(&app).await;
        let foreign = app.rival.agent("b", json!({})).await;
        let foreign = app.rival.run(json!({ "agentId": foreign, "input": "x" })).await["id"].as_str().unwrap().to_owned();
        let owner = &app.acme.owner;
        let hidden = owner.post("/v1/tokens", json!({ "runId": foreign })).await;
        let missing = owner.post("/v1/tokens", json!({ "runId": NOBODYS })).await;
        assert_eq!((hidden.status, &hidden.body["errors"]), (422, &missing.body["errors"]));
        for (body, pointer) in [
            (json!({ "runId": run, "scopes": ["task-runs:write"] }), "/scopes/0"),
            (json!({ "runId": run, "scopes": ["task-runs:read", "*"] }), "/scopes/1"),
            (json!({ "runId": run, "scopes": [] }), "/scopes"),
            (json!({ "runId": run, "scopes": null }), "/scopes"),
            (json!({ "runId": run, "expiresInSeconds": 59 }), "/expiresInSeconds"),
            (json!({ "runId": run, "expiresInSeconds": 901 }), "/expiresInSeconds"),
            (json!({ "runId": [run] }), "/runId"),
            (json!({ "runId": run, "tenantId": NOBODYS }), "/tenantId"),
        ] {
            let refused = owner.post("/v1/tokens", body).await;
            assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
            refused.expect(422);
        }
        let (reader, _) = key(&app, owner, &["task-runs:read"]).await;
        let more = reader.post("/v1/tokens", json!({ "runId": run, "scopes": ["task-runs:cancel"] })).await;
        assert_eq!(more.body["errors"][0]["code"], "exceeds_own_rights");
        more.expect(422);
        let agent = app.acme.agent("other", json!({})).await;
        let limited = json!({ "name": "k", "scopes": ["*"], "agentIds": [agent] });
        let limited = owner.post("/v1/api-keys", limited).await.expect(201);
        let limited = app.anyone().with_key(limited["key"].as_str().unwrap());
        assert_eq!(limited.post("/v1/tokens", json!({ "runId": run })).await.body["errors"], missing.body["errors"]);
    }
}

on_both! { manual;
    async fn a_token_expires_and_not_after_its_key(app: App) {
        let owner = &app.acme.owner;
        let (run, _) = runs(&app).await;
        let path = format!("/v1/task-runs/{run}");
        let token = token(&app, owner, &run, json!({ "expiresInSeconds": 60 })).await;
        let ends = app.core.clock.now() + chrono::TimeDelta::seconds(30);
        let short = json!({ "name": "k", "scopes": ["task-runs:read"], "expiresAt": ends });
        let short = owner.post("/v1/api-keys", short).await.expect(201);
        let short = app.anyone().with_key(short["key"].as_str().unwrap());
        let made = short.post("/v1/tokens", json!({ "runId": run })).await.expect(200);
        assert_eq!(made["expiresIn"], 30);
        let of_short = app.anyone().with_token(made["token"].as_str().unwrap());
        of_short.get(&path).await.expect(200);
        app.core.clock.advance(Duration::from_secs(32));
        assert_eq!(of_short.get(&path).await.status, 401);
        token.get(&path).await.expect(200);
        app.core.clock.advance(Duration::from_secs(34));
        assert_eq!(token.get(&path).await.problem(401), "token_expired");
    }
}
