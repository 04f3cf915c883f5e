//! What every answer keeps, whatever was asked: problems, ids, headers, and the limits of a request.

use serde_json::{Value, json};

use crate::support::{Answer, Client, mails, people};

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// A problem of RFC 9457 with this code, which names its request.
fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{}", answer.text);
    assert_eq!(header(answer, "content-type"), "application/problem+json");
    assert_eq!(answer.body["status"], status);
    for member in ["type", "title", "detail", "requestId"] {
        assert!(
            answer.body[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member}: {}",
            answer.text
        );
    }
    assert_eq!(answer.body["requestId"], header(answer, "x-request-id"));
}

/// The same request four times at once, and again as long as one of them is said to be executed: what all are told.
async fn at_once(client: &Client, path: &str, key: &str, body: &Value) -> Value {
    let ask = async || {
        loop {
            let answer = client.post_once(path, key, body.clone()).await;
            if answer.body["code"] != "idempotency_in_flight" {
                assert!(answer.status < 300, "{path}: {}", answer.text);
                return answer.body;
            }
        }
    };
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    assert!(a == b && b == c && c == d, "{a} {b} {c} {d}");
    a
}

on_both! {
    async fn what_cannot_be_answered_is_a_problem(app: App) {
        let owner = &app.acme.owner;
        is_problem(&owner.get("/v1/nothing-here").await, 404, "route_not_found");
        is_problem(&app.anyone().get("/nothing/at/all").await, 404, "route_not_found");
        is_problem(&owner.send(owner.request("PATCH", "/v1/whoami")).await, 405, "method_not_allowed");
        is_problem(&app.anyone().get("/v1/agents").await, 401, "unauthenticated");
        let post = |body: &str, kind: &str| {
            owner.send(owner.request("POST", "/v1/agents").header("content-type", kind.to_owned()).body(body.to_owned()))
        };
        is_problem(&post("{\"name\": ", "application/json").await, 400, "json_malformed");
        is_problem(&post("name=x", "application/x-www-form-urlencoded").await, 415, "unsupported_media_type");
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        is_problem(&post(&format!("{{\"name\": {deep}}}"), "application/json").await, 400, "json_too_deep");
        let wrong = owner.post("/v1/agents", json!({ "name": "", "nme": 1 })).await;
        assert_eq!(wrong.status, 422, "{}", wrong.text);
        assert!(wrong.body["errors"][0]["pointer"].as_str().is_some_and(|pointer| pointer.starts_with('/')), "{}", wrong.text);
        is_problem(&owner.get("/v1/agents?colour=red").await, 422, "invalid");
        let large = post(&format!("{{\"name\": \"{}\"}}", "x".repeat(3 << 20)), "application/json").await;
        is_problem(&large, 413, "payload_too_large");
    }

    async fn every_answer_says_what_it_is(app: App) {
        let owner = &app.acme.owner;
        let named = owner.send(owner.request("GET", "/v1/whoami").header("x-request-id", "from-the-edge-1")).await;
        assert_eq!(header(&named, "x-request-id"), "from-the-edge-1");
        let unfit = owner.send(owner.request("GET", "/v1/whoami").header("x-request-id", "a b\"c")).await;
        assert!(!header(&unfit, "x-request-id").contains(' '), "an id that could confuse a log is replaced");
        assert_eq!(header(&named, "cache-control"), "no-store");
        assert_eq!(header(&named, "x-content-type-options"), "nosniff");
        let document = app.anyone().get("/openapi.json").await;
        assert!(document.body["openapi"].as_str().unwrap().starts_with("3.1"));
        let yaml = app.anyone().get("/openapi.yaml").await;
        assert!(yaml.text.starts_with("openapi: 3.1"), "{}", &yaml.text[..60]);
        for probe in ["/livez", "/readyz"] {
            assert_eq!(app.anyone().get(probe).await.status, 200);
        }
        let packed = app.anyone().request("GET", "/openapi.json").header("accept-encoding", "gzip");
        assert_eq!(header(&app.anyone().send(packed).await, "content-encoding"), "gzip");
        let page = app.anyone().get("/docs/").await;
        assert!(header(&page, "content-security-policy").contains("frame-ancestors"), "{:?}", page.headers);
    }

    async fn a_create_that_is_not_over_in_time_is_answered_as_it_is(app: App) {
        let tool = app.acme.builtin("until", "builtin/wait_for_event").await;
        let definition = app.acme.definition("until", json!({ "toolId": tool })).await;
        let body = json!({ "definitionId": definition, "input": { "key": "never" } });
        let answer = app.acme.owner.post("/v1/task-runs?wait=1", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let run = answer.body["id"].as_str().unwrap();
        assert_eq!(header(&answer, "location"), format!("/v1/task-runs/{run}"));
        assert_eq!((&answer.body["status"], &answer.body["output"]), (&json!("WAITING"), &Value::Null));
    }

    async fn what_is_sent_again_before_it_is_answered_is_done_once(app: App) {
        let owner = &app.acme.owner;
        for round in 0..8 {
            let (key, body) = (format!("key-{round}"), json!({ "name": format!("room {round}") }));
            let made = at_once(owner, "/v1/workspaces", &key, &body).await;
            let theirs = app.rival.owner.post_once("/v1/workspaces", &key, body).await.expect(201);
            assert_ne!(made["id"], theirs["id"], "a key is its tenant's");
            let archive = format!("/v1/workspaces/{}/archive", made["id"].as_str().unwrap());
            at_once(owner, &archive, &key, &json!({})).await;
        }
        let person = people::member(&app, owner, "ada@example.com", "VIEWER").await;
        at_once(&person, "/v1/me/verify-email", "key", &json!({})).await;
        assert_eq!(mails::to(&app, "ada@example.com").await.len(), 1);
    }

    async fn lists_are_walked_in_any_order_and_narrowed(app: App) {
        let owner = &app.acme.owner;
        for number in 0..7 {
            app.acme.agent(&format!("agent {number}"), json!({})).await;
            app.acme.builtin(&format!("tool_{number}"), "builtin/echo").await;
        }
        app.rival.agent("agent of another", json!({})).await;
        for (list, field) in [("agents", "name"), ("tools", "name")] {
            for sort in ["name", "-name", "createdAt", "-createdAt", "updatedAt", "-updatedAt"] {
                let (mut seen, mut cursor) = (Vec::new(), String::new());
                loop {
                    let page = owner.get(&format!("/v1/{list}?limit=3&sort={sort}{cursor}")).await.expect(200);
                    let rows = page["data"].as_array().unwrap();
                    assert!(rows.len() <= 3);
                    seen.extend(rows.iter().map(|row| row[field].as_str().unwrap().to_owned()));
                    match page["nextCursor"].as_str() {
                        Some(next) => cursor = format!("&cursor={next}"),
                        None => break,
                    }
                }
                let mut sorted: Vec<_> = seen.clone();
                sorted.sort();
                sorted.dedup();
                assert_eq!((seen.len(), sorted.len()), (7, 7), "{list} by {sort}: {seen:?}");
                if sort.starts_with('-') {
                    sorted.reverse();
                }
                assert_eq!(seen, sorted, "{list} by {sort}");
            }
            let found = owner.get(&format!("/v1/{list}?q=3")).await.expect(200);
            assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
        }
    }
}
