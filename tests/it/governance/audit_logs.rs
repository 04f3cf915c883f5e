//! `/v1/audit-logs` as a caller sees it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Client, eventually};

async fn rows(caller: &Client, filter: &str) -> Vec<Value> {
    let page = caller.get(&format!("/v1/audit-logs?{filter}")).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

/// The whole chain is verified.
async fn intact(caller: &Client) -> Value {
    let verified = caller.get("/v1/audit-logs/verify").await.expect(200);
    assert_eq!((&verified["intact"], &verified["complete"]), (&json!(true), &json!(true)), "{verified}");
    verified
}

on_both! {
    async fn a_change_is_shown_with_what_was_and_what_is(app: App) {
        let agent = app.acme.agent("first", json!({ "metadata": { "team": "blue" } })).await;
        let path = format!("/v1/agents/{agent}");
        app.acme.owner.patch(&path, json!({ "name": "second" })).await.expect(200);
        app.acme.owner.delete(&path).await;
        let told = rows(&app.acme.owner, &format!("resourceId={agent}&sort=createdAt")).await;
        let actions: Vec<_> = told.iter().map(|row| row["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["create_agent", "update_agent", "delete_agent"]);
        assert_eq!((&told[0]["oldData"], &told[0]["newData"]["name"]), (&Value::Null, &json!("first")));
        assert_eq!((&told[1]["oldData"], &told[1]["newData"]), (&json!({ "name": "first" }), &json!({ "name": "second" })));
        assert_eq!((&told[2]["oldData"]["name"], &told[2]["newData"]), (&json!("second"), &Value::Null));
        let one = app.acme.owner.get(&format!("/v1/audit-logs/{}", told[1]["id"].as_str().unwrap())).await;
        assert_eq!(one.expect(200), told[1]);
        assert_eq!(rows(&app.rival.owner, &format!("resourceId={agent}")).await, Vec::<Value>::new());
        for filter in ["action=update_agent", "resource=agent&limit=1", "outcome=SUCCEEDED", "actor=system"] {
            let found = rows(&app.acme.owner, filter).await;
            assert_eq!(found.is_empty(), filter == "actor=system", "{filter}");
        }
        app.acme.owner.get("/v1/audit-logs?action=a&actions=b").await.problem(422);
    }

    async fn secrets_are_masked(app: App) {
        let config = json!({ "baseUrl": "http://127.0.0.1:9/v1" });
        let body = json!({ "name": "p", "type": "LLM_OPENAI_COMPATIBLE", "config": config, "credentials": { "apiKey": "very-secret" } });
        app.acme.owner.post("/v1/integrations", body).await.expect(201);
        let key = app.acme.owner.post("/v1/api-keys", json!({ "name": "k", "scopes": ["*"] })).await.expect(201);
        let everything = app.acme.owner.get("/v1/audit-logs?limit=200").await.text;
        let exported = app.acme.owner.get("/v1/audit-logs/export").await.text;
        for told in [everything, exported] {
            assert!(told.contains("create_api_key") && told.contains("create_integration"));
            assert!(!told.contains("very-secret") && !told.contains(key["key"].as_str().unwrap()));
        }
    }

    async fn what_does_not_commit_leaves_no_row(app: App) {
        app.acme.agent("taken", json!({ "slug": "taken" })).await;
        let before = intact(&app.acme.owner).await["rows"].clone();
        let again = json!({ "name": "x", "slug": "taken", "type": "TASK_RUNNER", "model": "mock/echo" });
        app.acme.owner.post("/v1/agents", again).await.expect(409);
        app.acme.owner.post("/v1/agents", json!({ "name": 1 })).await.expect(422);
        let once = json!({ "name": "once", "type": "TASK_RUNNER", "model": "mock/echo" });
        for _ in 0..3 {
            app.acme.owner.post_once("/v1/agents", "key", once.clone()).await.expect(201);
        }
        let after = intact(&app.acme.owner).await["rows"].clone();
        assert_eq!(after.as_u64().unwrap(), before.as_u64().unwrap() + 1);
    }

    async fn many_at_once_make_one_chain_without_gaps(app: App) {
        let changes = (0..60).map(|n| {
            let tenant = if n % 3 == 0 { &app.rival } else { &app.acme };
            tenant.agent(Box::leak(format!("agent {n}").into_boxed_str()), json!({}))
        });
        join_all(changes).await;
        for tenant in [&app.acme, &app.rival] {
            let verified = intact(&tenant.owner).await;
            assert_eq!(verified["rows"], verified["verified"]);
            let numbers: BTreeSet<i64> =
                rows(&tenant.owner, "limit=200").await.iter().map(|row| row["number"].as_i64().unwrap()).collect();
            assert!(numbers.iter().copied().eq(1..=verified["verified"].as_i64().unwrap()));
        }
    }

    async fn failed_sign_ins_are_told_to_the_tenant(app: App) {
        for email in [app.acme.owner_email.as_str(), "nobody@example.com"] {
            let wrong = json!({ "email": email, "password": "not the password" });
            assert_eq!(app.anyone().post("/v1/auth/login", wrong).await.problem(401), "wrong_credentials");
        }
        eventually("the failure is written", async || {
            !rows(&app.acme.owner, "action=log_in&outcome=REFUSED").await.is_empty()
        })
        .await;
        let told = rows(&app.acme.owner, "outcome=REFUSED").await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["actor"], &told[0]["code"]), (&json!("anonymous"), &json!("wrong_credentials")));
        assert_eq!(told[0]["ipAddress"], "127.0.0.1");
        assert!(rows(&app.rival.owner, "outcome=REFUSED").await.is_empty());
    }

    async fn refusals_of_one_caller_are_bounded(app: App) {
        let key = app.acme.key(&app, &["tools:read"]).await;
        join_all((0..70).map(|_| key.get("/v1/agents"))).await;
        let told = rows(&app.acme.owner, "outcome=REFUSED&limit=200").await;
        assert_eq!(told.len(), 60);
        let last = told.iter().filter(|row| !row["newData"].is_null()).count();
        assert_eq!(last, 1, "one of them says that more follow");
        intact(&app.acme.owner).await;
    }

    async fn an_export_goes_on_where_the_last_one_ended(app: App) {
        for name in ["a", "b", "c"] {
            app.acme.agent(name, json!({})).await;
        }
        let lines = async |query: &str| -> Vec<Value> {
            let answer = app.acme.owner.get(&format!("/v1/audit-logs/export{query}")).await;
            assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/jsonl"));
            answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let all = lines("").await;
        let verified = intact(&app.acme.owner).await;
        assert_eq!(json!(all.len()), verified["rows"]);
        let first = lines("?limit=2").await;
        let rest = lines(&format!("?after={}", first[1]["number"])).await;
        assert_eq!([first, rest].concat(), all);
        assert!(all.iter().all(|row| row["tenantId"] == app.acme.id.as_str() && row["ipSalt"].is_string() && row["dataSalt"].is_string()));
        app.acme.owner.get("/v1/audit-logs/export?limit=0").await.problem(422);
    }

    async fn verification_goes_on_in_parts(app: App) {
        app.acme.agent("a", json!({})).await;
        let whole = intact(&app.acme.owner).await;
        let mut after = 0;
        let mut parts = 0;
        loop {
            let path = format!("/v1/audit-logs/verify?limit=2&after={after}");
            let part = app.acme.owner.get(&path).await.expect(200);
            assert_eq!((&part["intact"], &part["after"]), (&json!(true), &json!(after)));
            after = part["verified"].as_i64().unwrap();
            parts += 1;
            if part["complete"] == true {
                break;
            }
            assert_eq!(part["rows"], 2);
        }
        assert!(parts > 1 && whole["verified"] == after, "{parts}");
        for wrong in ["limit=0", "limit=1000001", "after=100000", "checkpoint=abc"] {
            app.acme.owner.get(&format!("/v1/audit-logs/verify?{wrong}")).await.problem(422);
        }
    }
}
