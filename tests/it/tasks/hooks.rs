//! Inbound hooks as senders and their owners see them.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, App, Client, eventually};

/// A WEBHOOK definition that echoes what it is given.
async fn definition(app: &App, trigger: Value) -> String {
    let name = format!("hooked_{}", app.core.ids.next().simple());
    let tool = app.acme.builtin(&name, "builtin/echo").await;
    let mut body = json!({ "type": "WEBHOOK" });
    body.as_object_mut().unwrap().extend(trigger.as_object().unwrap().clone());
    app.acme.definition(&name, json!({ "type": "WEBHOOK", "toolId": tool, "trigger": body })).await
}

/// The hook as it is shown once, and where to send to.
async fn hook(app: &App, definition: &str, scheme: &str, more: Value) -> (Value, String) {
    let name = format!("hook {}", app.core.ids.next());
    let mut body = json!({ "name": name, "definitionId": definition, "scheme": scheme });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = app.acme.owner.post("/v1/inbound-hooks", body).await.expect(201);
    let path = path(&made);
    (made, path)
}

fn path(hook: &Value) -> String {
    let url = hook["url"].as_str().unwrap();
    url.strip_prefix("https://console.example.com").unwrap().to_owned()
}

async fn send(app: &App, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let anyone = app.anyone();
    let mut request = anyone.request("POST", path).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    anyone.send(request).await
}

fn hex(secret: &str, content: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, content.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const JSON: (&str, &str) = ("content-type", "application/json");

async fn log(app: &App, hook: &Value) -> Vec<Value> {
    let path = format!("/v1/hook-deliveries?hookId={}", hook["id"].as_str().unwrap());
    app.acme.owner.get(&path).await.expect(200)["data"].as_array().unwrap().clone()
}

async fn output(owner: &Client, run: &Value) -> Value {
    let path = format!("/v1/task-runs/{}", run.as_str().unwrap());
    eventually("it ends", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
    owner.get(&path).await.expect(200)["output"].clone()
}

/// Signed as GitHub does.
async fn github(app: &App, path: &str, secret: &str, id: &str, body: &str) -> Answer {
    let signature = format!("sha256={}", hex(secret, body));
    let headers =
        [JSON, ("x-hub-signature-256", &signature), ("x-github-delivery", id), ("x-github-event", "push")];
    send(app, path, &headers, body).await
}

on_both! {
    async fn a_signed_delivery_starts_a_run_once(app: App) {
        let owner = &app.acme.owner;
        let input = json!({ "ref": "{{ body.ref }}", "kind": "{{ type }}", "agent": "{{ headers['x-github-event'] }}" });
        let definition = definition(&app, json!({ "input": input })).await;
        let (hook, path) = hook(&app, &definition, "GITHUB", json!({})).await;
        let secret = hook["secret"].as_str().unwrap();
        let body = r#"{"ref":"main"}"#;
        let sent = (0..6).map(|_| github(&app, &path, secret, "d-1", body));
        let answers = futures_util::future::join_all(sent).await;
        assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
        let log = log(&app, &hook).await;
        let accepted: Vec<_> = log.iter().filter(|delivery| delivery["verdict"] == "ACCEPTED").collect();
        assert_eq!((accepted.len(), log.len()), (1, 6), "{log:?}");
        assert!(answers.iter().any(|answer| answer.body["id"] == accepted[0]["id"]));
        let output = output(owner, &accepted[0]["runId"]).await;
        assert_eq!(output, json!({ "ref": "main", "kind": "push", "agent": "push" }));
        assert_eq!((&accepted[0]["deliveryId"], &accepted[0]["headers"]["x-hub-signature-256"]), (&json!("d-1"), &json!("[redacted]")));
        let whole = owner.get(&format!("/v1/hook-deliveries/{}", accepted[0]["id"].as_str().unwrap())).await.expect(200);
        assert_eq!((&whole["body"], &whole["bodyEncoding"]), (&json!(body), &json!("TEXT")));
        assert_eq!(owner.get("/v1/task-runs").await.expect(200)["data"].as_array().unwrap().len(), 1);

        let shown = owner.get(&format!("/v1/inbound-hooks/{}", hook["id"].as_str().unwrap())).await;
        assert!(!shown.text.contains(secret) && !shown.text.contains(path.rsplit('/').next().unwrap()));
        assert_eq!(shown.expect(200)["hasSecret"], true);
        for (path, status) in [("/v1/inbound-hooks", 200), ("/v1/hook-deliveries", 200)] {
            assert_eq!(app.rival.owner.get(path).await.expect(status)["data"], json!([]));
        }
    }

    async fn a_sender_is_told_what_keys_made_of_its_delivery(app: App) {
        let owner = &app.acme.owner;
        let tool = app.acme.builtin("until", "builtin/wait_for_event").await;
        for (name, config, status) in [
            ("full", json!({ "concurrency": { "key": "{{ input.key }}", "limit": 1, "strategy": "REJECT" } }), 409),
            ("live", json!({ "dedupe": { "key": "{{ input.key }}", "until": "TERMINAL" } }), 202),
        ] {
            let body = json!({ "type": "WEBHOOK", "toolId": tool, "trigger": { "type": "WEBHOOK" }, "config": config });
            let definition = app.acme.definition(name, body).await;
            let (hook, path) = hook(&app, &definition, "GITHUB", json!({})).await;
            let secret = hook["secret"].as_str().unwrap();
            let body = r#"{"key":"a"}"#;
            assert_eq!(github(&app, &path, secret, "d-1", body).await.status, 202);
            let second = github(&app, &path, secret, "d-2", body).await;
            assert_eq!(second.status, status, "{name}: {}", second.text);
            let log = log(&app, &hook).await;
            if status == 409 {
                assert_eq!((&second.body["code"], &log[0]["verdict"], &log[0]["code"]), (&json!("concurrency_limit"), &json!("REFUSED"), &json!("concurrency_limit")));
            } else {
                assert_eq!((&log[0]["verdict"], &log[0]["runId"]), (&json!("ACCEPTED"), &log[1]["runId"]), "the live run answers for the key");
            }
        }
        assert_eq!(owner.get("/v1/task-runs").await.expect(200)["data"].as_array().unwrap().len(), 2);
    }

    async fn what_is_not_proved_starts_nothing(app: App) {
        let definition = definition(&app, json!({})).await;
        let (hook, path) = hook(&app, &definition, "GITHUB", json!({ "secret": "s3cret" })).await;
        assert_eq!(hook.get("secret"), None, "a secret that was given is not shown");
        let body = r#"{"a":1}"#;
        for answer in [
            send(&app, &path, &[JSON], body).await,
            github(&app, &path, "other", "d-1", body).await,
            send(&app, &path, &[JSON, ("x-hub-signature-256", &format!("sha256={}", hex("s3cret", "{}")))], body).await,
        ] {
            assert_eq!(answer.problem(401), "invalid_signature");
        }
        let log = log(&app, &hook).await;
        let codes: Vec<_> = log.iter().rev().map(|delivery| (delivery["verdict"].as_str().unwrap(), delivery["code"].as_str().unwrap())).collect();
        assert_eq!(codes, [("UNSIGNED", "signature_missing"), ("UNSIGNED", "signature_wrong"), ("UNSIGNED", "signature_wrong")]);
        let again = format!("/v1/hook-deliveries/{}/replay", log[0]["id"].as_str().unwrap());
        assert_eq!(app.acme.owner.post(&again, json!({})).await.problem(409), "not_replayable");
        assert_eq!(app.acme.owner.get("/v1/task-runs").await.expect(200)["data"], json!([]));
        github(&app, &path, "s3cret", "d-1", body).await.expect(202);
    }

    async fn every_scheme_is_taken_and_its_times_are_looked_at(app: App) {
        let owner = &app.acme.owner;
        let definition = definition(&app, json!({ "input": { "said": "{{ body }}" } })).await;
        let now = app.core.clock.now().timestamp();
        let (text, old) = (now.to_string(), (now - 400).to_string());

        let (standard, path) = hook(&app, &definition, "STANDARD_WEBHOOKS", json!({})).await;
        let key = standard["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
        for (time, status) in [(&text, 202), (&old, 401)] {
            let signature = hmac::sign(&key, format!("m1.{time}.{{\"a\":1}}").as_bytes());
            let signature = format!("v1,{}", STANDARD.encode(signature));
            let headers = [JSON, ("webhook-id", "m1"), ("webhook-timestamp", time), ("webhook-signature", &signature)];
            assert_eq!(send(&app, &path, &headers, r#"{"a":1}"#).await.status, status);
        }
        let (stripe, path) = hook(&app, &definition, "STRIPE", json!({ "secret": "whsec_x" })).await;
        for (time, status) in [(&text, 202), (&old, 401)] {
            let body = r#"{"id":"evt_1"}"#;
            let signature = format!("t={time},v1={}", hex("whsec_x", &format!("{time}.{body}")));
            assert_eq!(send(&app, &path, &[JSON, ("stripe-signature", &signature)], body).await.status, status);
        }
        assert_eq!(log(&app, &stripe).await[1]["deliveryId"], "evt_1");
        let (slack, path) = hook(&app, &definition, "SLACK", json!({ "secret": "sl" })).await;
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (time, status) in [(&text, 202), (&old, 401)] {
            let body = "command=%2Fgo&text=hi&trigger_id=t1";
            let signature = format!("v0={}", hex("sl", &format!("v0:{time}:{body}")));
            let headers = [form, ("x-slack-request-timestamp", time), ("x-slack-signature", &signature)];
            assert_eq!(send(&app, &path, &headers, body).await.status, status);
        }
        let taken = log(&app, &slack).await[1].clone();
        assert_eq!(output(owner, &taken["runId"]).await["said"], json!({ "command": "/go", "text": "hi", "trigger_id": "t1" }));
        let challenge = r#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV"}"#;
        let signature = format!("v0={}", hex("sl", &format!("v0:{text}:{challenge}")));
        let headers = [JSON, ("x-slack-request-timestamp", &text), ("x-slack-signature", &signature)];
        assert_eq!(send(&app, &path, &headers, challenge).await.expect(200), json!({ "challenge": "3eZbrw1aBm2rZgRNFdxV" }));

        let config = json!({ "header": "X-Sign", "prefix": "h=", "timestampHeader": "X-Time", "signedContent": "TIMESTAMP_DOT_BODY", "deliveryIdHeader": "X-Id" });
        let (plain, path) = hook(&app, &definition, "HMAC", json!({ "secret": "pl", "config": config })).await;
        for (time, status) in [(&text, 202), (&text, 202), (&old, 401)] {
            let signature = format!("h={}", hex("pl", &format!("{time}.hello")));
            let headers = [("content-type", "text/plain"), ("x-sign", &*signature), ("x-time", time), ("x-id", "7")];
            assert_eq!(send(&app, &path, &headers, "hello").await.status, status);
        }
        let verdicts: Vec<_> = log(&app, &plain).await.iter().rev().map(|delivery| delivery["verdict"].clone()).collect();
        assert_eq!(verdicts, ["ACCEPTED", "DUPLICATE", "UNSIGNED"]);
        assert_eq!(log(&app, &plain).await[0]["headers"]["x-sign"], "[redacted]");
        let open = hook(&app, &definition, "NONE", json!({})).await.1;
        send(&app, &open, &[], "").await.expect(202);
    }

    async fn how_a_hook_is_signed_is_checked_when_it_is_made(app: App) {
        let owner = &app.acme.owner;
        let definition = definition(&app, json!({})).await;
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let other = app.acme.definition("manual", json!({ "toolId": tool })).await;
        for (more, pointer) in [
            (json!({ "scheme": "STRIPE" }), "/secret"),
            (json!({ "scheme": "SLACK" }), "/secret"),
            (json!({ "scheme": "NONE", "secret": "s" }), "/secret"),
            (json!({ "scheme": "STANDARD_WEBHOOKS", "secret": "whsec_not base64" }), "/secret"),
            (json!({ "scheme": "HMAC" }), "/config/header"),
            (json!({ "scheme": "HMAC", "config": { "header": "a b" } }), "/config/header"),
            (json!({ "scheme": "HMAC", "config": { "header": "a", "signedContent": "TIMESTAMP_DOT_BODY" } }), "/config/timestampHeader"),
            (json!({ "scheme": "GITHUB", "config": { "header": "a" } }), "/config/"),
            (json!({ "scheme": "GITHUB", "definitionId": other }), "/definitionId"),
            (json!({}), "/scheme"),
        ] {
            let mut body = json!({ "name": "h", "definitionId": definition });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let refused = owner.post("/v1/inbound-hooks", body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{more}");
        }
    }

    async fn a_token_that_nobody_has_and_a_hook_that_takes_nothing_are_the_same(app: App) {
        let owner = &app.acme.owner;
        let definition = definition(&app, json!({})).await;
        let (made, path) = hook(&app, &definition, "GITHUB", json!({ "secret": "s" })).await;
        let id = made["id"].as_str().unwrap();
        let unknown = format!("{}{}", &path[..path.len() - 1], if path.ends_with('a') { 'b' } else { 'a' });
        let mut answers = vec![
            send(&app, &unknown, &[JSON], "{}").await,
            send(&app, "/v1/hooks/x", &[JSON], "{}").await,
            send(&app, "/v1/hooks/%00", &[JSON], "{}").await,
        ];
        let toggle = async |on: bool| {
            owner.patch(&format!("/v1/inbound-hooks/{id}"), json!({ "isActive": on })).await.expect(200);
        };
        toggle(false).await;
        answers.push(github(&app, &path, "s", "1", "{}").await);
        answers.push(github(&app, &path, "wrong", "1", "{}").await);
        toggle(true).await;
        let of = format!("/v1/task-definitions/{definition}");
        owner.patch(&of, json!({ "isActive": false })).await.expect(200);
        answers.push(github(&app, &path, "s", "2", "{}").await);
        owner.patch(&of, json!({ "isActive": true })).await.expect(200);
        let tenant = format!("/v1/tenants/{}", app.acme.id);
        app.admin.post(&format!("{tenant}/suspend"), json!({})).await.expect(200);
        answers.push(github(&app, &path, "s", "3", "{}").await);
        app.admin.post(&format!("{tenant}/resume"), Value::Null).await.expect(200);
        github(&app, &path, "s", "4", "{}").await.expect(202);
        owner.delete(&format!("/v1/inbound-hooks/{id}")).await.expect(204);
        answers.push(github(&app, &path, "s", "5", "{}").await);
        let shown = |answer: &Answer| {
            let mut body = answer.body.clone();
            ["requestId", "instance"].iter().for_each(|name| drop(body.as_object_mut().unwrap().remove(*name)));
            (answer.status, body)
        };
        for answer in &answers {
            assert_eq!(shown(answer), shown(&answers[0]), "{}", answer.text);
        }
        assert_eq!(answers[0].status, 404);
        let log = log(&app, &made).await;
        let codes: Vec<_> = log.iter().rev().map(|delivery| delivery["code"].clone()).collect();
        assert_eq!(codes, [json!("hook_inactive"), json!("signature_wrong"), json!("definition_inactive"), json!("tenant_suspended"), Value::Null]);
    }

    async fn urls_and_secrets_rotate_with_an_overlap(app: App) {
        let owner = &app.acme.owner;
        let definition = definition(&app, json!({})).await;
        let (made, first) = hook(&app, &definition, "GITHUB", json!({ "secret": "one" })).await;
        let rotate = format!("/v1/inbound-hooks/{}/rotate", made["id"].as_str().unwrap());
        let second = path(&owner.post(&rotate, json!({})).await.expect(200));
        assert_ne!(first, second);
        for (number, url) in [&first, &second].iter().enumerate() {
            github(&app, url, "one", &number.to_string(), "{}").await.expect(202);
        }
        let third = path(&owner.post(&rotate, json!({ "overlapSeconds": 0 })).await.expect(200));
        for gone in [&first, &second] {
            assert_eq!(github(&app, gone, "one", "x", "{}").await.problem(404), "not_found");
        }
        let given = json!({ "what": "SECRET", "secret": "two" });
        assert_eq!(owner.post(&rotate, given).await.expect(200).get("secret"), None);
        for secret in ["one", "two"] {
            github(&app, &third, secret, secret, "{}").await.expect(202);
        }
        let made = owner.post(&rotate, json!({ "what": "SECRET", "overlapSeconds": 0 })).await.expect(200);
        assert_eq!(made.get("url"), None);
        for secret in ["one", "two"] {
            assert_eq!(github(&app, &third, secret, "y", "{}").await.problem(401), "invalid_signature");
        }
        github(&app, &third, made["secret"].as_str().unwrap(), "z", "{}").await.expect(202);
    }

    async fn a_delivery_is_filtered_and_sent_again(app: App) {
        let owner = &app.acme.owner;
        let trigger = json!({ "filter": { "type": { "equals": "push" }, "data": { "/ref": { "prefix": "main" } } },
            "input": { "sha": "{{ body.sha }}" } });
        let definition = definition(&app, trigger).await;
        let (made, path) = hook(&app, &definition, "GITHUB", json!({ "secret": "s" })).await;
        github(&app, &path, "s", "1", r#"{"ref":"dev"}"#).await.expect(202);
        let refused = github(&app, &path, "s", "2", r#"{"ref":"main"}"#).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/trigger/input/sha");
        let log_now = log(&app, &made).await;
        let verdicts: Vec<_> = log_now.iter().rev().map(|delivery| delivery["verdict"].clone()).collect();
        assert_eq!(verdicts, ["IGNORED", "REFUSED"]);

        let of = format!("/v1/task-definitions/{definition}");
        let trigger = json!({ "type": "WEBHOOK", "input": { "ref": "{{ body.ref }}" } });
        owner.patch(&of, json!({ "trigger": trigger })).await.expect(200);
        let again = format!("/v1/hook-deliveries/{}/replay", log_now[0]["id"].as_str().unwrap());
        let replayed = owner.post_once(&again, "k", json!({})).await.expect(200);
        assert_eq!(owner.post_once(&again, "k", json!({})).await.expect(200), replayed);
        assert_eq!((&replayed["verdict"], &replayed["replayOf"]), (&json!("ACCEPTED"), &log_now[0]["id"]));
        assert_eq!(output(owner, &replayed["runId"]).await, json!({ "ref": "main" }));
        assert_eq!(app.rival.owner.post(&again, json!({})).await.problem(404), "not_found");
        github(&app, &path, "s", "2", r#"{"ref":"main"}"#).await.expect(202);
        assert_eq!(log(&app, &made).await[0]["verdict"], "ACCEPTED", "the refused one did not use up the id");
    }

    async fn a_delivery_lets_a_waiting_run_go_on(app: App) {
        let owner = &app.acme.owner;
        let wait = app.acme.builtin("wait", "builtin/wait_for_event").await;
        let waiting = app.acme.definition("waiting", json!({ "toolId": wait })).await;
        let run = app.acme.create(json!({ "definitionId": waiting, "input": { "key": "pay-7" } })).await;
        eventually("it waits", async || owner.get(&run).await.expect(200)["status"] == "WAITING").await;
        let definition = definition(&app, json!({ "correlationKey": "pay-{{ body.order }}" })).await;
        let (made, path) = hook(&app, &definition, "NONE", json!({})).await;
        send(&app, &path, &[JSON], r#"{"order":7,"type":"paid"}"#).await.expect(202);
        eventually("it goes on", async || owner.get(&run).await.expect(200)["status"] == "COMPLETED").await;
        let output = owner.get(&run).await.expect(200)["output"].clone();
        assert_eq!((&output["type"], &output["data"]["order"]), (&json!("paid"), &json!(7)));
        let delivery = log(&app, &made).await[0].clone();
        assert_eq!((&delivery["resumed"], &delivery["runId"]), (&json!(1), &Value::Null));
        send(&app, &path, &[JSON], r#"{"order":8}"#).await.expect(202);
        assert!(log(&app, &made).await[0]["runId"].is_string(), "without a run that waits, one is started");
    }

    async fn bodies_are_bounded(app: App) {
        let definition = definition(&app, json!({})).await;
        let (made, path) = hook(&app, &definition, "NONE", json!({})).await;
        let long = format!("\"{}\"", "x".repeat(300 << 10));
        send(&app, &path, &[JSON], &long).await.expect(202);
        let too_long = "x".repeat((1 << 20) + 1);
        assert_eq!(send(&app, &path, &[("content-type", "text/plain")], &too_long).await.problem(413), "payload_too_large");
        for (kind, body) in [("application/json", "{"), ("image/png", "x")] {
            assert_eq!(send(&app, &path, &[("content-type", kind)], body).await.status, 422);
        }
        let verdicts: Vec<_> = log(&app, &made).await.iter().rev().map(|delivery| delivery["verdict"].clone()).collect();
        assert_eq!(verdicts, ["ACCEPTED", "MALFORMED", "MALFORMED"]);
    }
}

on_both! {
    manual;
    async fn the_one_before_works_no_longer_than_its_overlap(app: App) {
        let owner = app.acme.key(&app, &["*"]).await;
        let definition = definition(&app, json!({})).await;
        let (made, first) = hook(&app, &definition, "GITHUB", json!({ "secret": "one" })).await;
        let rotate = format!("/v1/inbound-hooks/{}/rotate", made["id"].as_str().unwrap());
        for what in ["URL", "SECRET"] {
            owner.post(&rotate, json!({ "what": what, "overlapSeconds": 60 })).await.expect(200);
        }
        app.core.clock.advance(Duration::from_millis(59_999));
        github(&app, &first, "one", "1", "{}").await.expect(202);
        app.core.clock.advance(Duration::from_millis(1));
        assert_eq!(github(&app, &first, "one", "2", "{}").await.problem(404), "not_found");
    }
}
