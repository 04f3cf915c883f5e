//! `rateLimit` of tools and of model providers: what is beyond it waits in the queue, at no cost.

use std::time::Duration;

use serde_json::{Value, json};

use super::workers::{create, key};
use crate::support::model_server::{ModelServer, Reply, frames};
use crate::support::workers::Worker;
use crate::support::{Tenant, eventually};

async fn until(tenant: &Tenant, run: &str, status: &str) -> Value {
    eventually(status, async || tenant.owner.get(run).await.expect(200)["status"] == status).await;
    tenant.owner.get(run).await.expect(200)
}

/// The run waits for a token; what `explain` says of it.
async fn limited(tenant: &Tenant, run: &str) -> Value {
    eventually("it waits for a token", async || {
        let run = tenant.owner.get(run).await.expect(200);
        (&run["status"], &run["reason"]) == (&json!("PENDING"), &json!("RATE_LIMITED"))
    })
    .await;
    let why = tenant.owner.get(&format!("{run}/explain")).await.expect(200);
    let cause = why["causes"].as_array().unwrap().iter().find(|cause| cause["code"] == "RATE_LIMITED");
    cause.unwrap_or_else(|| panic!("{why}")).clone()
}

fn time(value: &Value) -> chrono::DateTime<chrono::Utc> {
    serde_json::from_value(value.clone()).unwrap()
}

async fn limit(tenant: &Tenant, path: &str, limit: Value) {
    let shown = tenant.owner.patch(path, json!({ "rateLimit": limit })).await.expect(200);
    assert_eq!(shown["rateLimit"], limit);
}

async fn kinds(tenant: &Tenant, run: &str) -> Vec<String> {
    let events = tenant.owner.get(&format!("{run}/events")).await.expect(200);
    let kind = |event: &Value| event["type"].as_str().unwrap().to_owned();
    events["data"].as_array().unwrap().iter().map(kind).collect()
}

on_both! {
    manual;
    async fn runs_of_a_tool_start_as_fast_as_it_may_be_called(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        limit(&app.acme, &format!("/v1/tools/{tool}"), json!({ "perMinute": 2 })).await;
        let definition = app.acme.definition("d", json!({ "toolId": tool })).await;
        let mut runs = Vec::new();
        for number in 0..3 {
            runs.push(app.acme.create(json!({ "definitionId": definition, "input": { "n": number } })).await);
        }
        until(&app.acme, &runs[0], "COMPLETED").await;
        let cause = limited(&app.acme, &runs[1]).await;
        assert_eq!(cause["message"], "The rate limit of its tool echo (2 a minute) has no token before then.");
        assert_eq!(time(&cause["until"]) - app.core.clock.now(), chrono::TimeDelta::seconds(30));
        app.core.clock.advance(Duration::from_secs(29));
        // Another tool passes, and the limited one has no token yet.
        let agent = app.acme.agent("other", json!({})).await;
        app.acme.run(json!({ "agentId": agent, "input": "x" })).await;
        assert_eq!(app.acme.owner.get(&runs[1]).await.expect(200)["status"], "PENDING");
        app.core.clock.advance(Duration::from_secs(1));
        let second = until(&app.acme, &runs[1], "COMPLETED").await;
        assert_eq!(second["attempt"], 1);
        assert_eq!(app.acme.owner.get(&runs[2]).await.expect(200)["status"], "PENDING");
        limit(&app.acme, &format!("/v1/tools/{tool}"), Value::Null).await;
        until(&app.acme, &runs[2], "COMPLETED").await;
    }

    async fn a_run_waits_for_its_model_without_a_slot(app: App) {
        let server = ModelServer::start(|_| Reply::Frames(frames("hi", &[])));
        let agent = app.acme.model_agent("asks", &server, json!({})).await;
        let provider = app.acme.owner.get(&format!("/v1/agents/{agent}")).await.expect(200)["providerId"].clone();
        let path = format!("/v1/integrations/{}", provider.as_str().unwrap());
        limit(&app.acme, &path, json!({ "perMinute": 1, "burst": 1 })).await;
        let name = app.acme.owner.get(&path).await.expect(200)["name"].as_str().unwrap().to_owned();
        let mut runs = Vec::new();
        for _ in 0..3 {
            runs.push(app.acme.create(json!({ "agentId": agent, "input": "go" })).await);
            if runs.len() == 1 {
                until(&app.acme, &runs[0], "COMPLETED").await;
            } else {
                limited(&app.acme, runs.last().unwrap()).await;
            }
        }
        let cause = limited(&app.acme, &runs[1]).await;
        let message = format!("The rate limit of its model provider {name} (1 a minute) has no token before then.");
        assert_eq!(cause["message"], json!(message));
        let now = app.core.clock.now();
        // Each has a place of its own, and the time of a run stands still meanwhile.
        for (run, seconds) in runs[1..].iter().zip([60, 120]) {
            let run = app.acme.owner.get(run).await.expect(200);
            assert_eq!((time(&run["availableAt"]) - now).num_seconds(), seconds, "{run}");
            assert_eq!(run["attempt"], 0);
        }
        assert_eq!(server.asked().len(), 1);
        app.core.clock.advance(Duration::from_secs(60));
        let second = until(&app.acme, &runs[1], "COMPLETED").await;
        assert_eq!((&second["attempt"], &second["cost"]), (&json!(1), &app.acme.owner.get(&runs[0]).await.expect(200)["cost"]));
        assert_eq!(app.acme.owner.get(&runs[2]).await.expect(200)["status"], "PENDING");
        app.core.clock.advance(Duration::from_secs(60));
        until(&app.acme, &runs[2], "COMPLETED").await;
        assert_eq!(server.asked().len(), 3);
        let told = kinds(&app.acme, &runs[2]).await;
        assert_eq!(told.iter().filter(|kind| *kind == "run.rate_limited").count(), 1, "{told:?}");
        assert!(!told.contains(&"run.retrying".to_owned()), "{told:?}");
    }

    async fn calls_of_an_agent_are_made_once_each(app: App) {
        let server = ModelServer::start(|_| Reply::Frames(frames("", &[])));
        let agent = app.acme.agent("calls", json!({ "model": "mock/script" })).await;
        let once = app.acme.effect("once", &server, "ONCE").await;
        let safe = app.acme.builtin("safe", "builtin/echo").await;
        for tool in [&once, &safe] {
            app.acme.bind(&agent, tool, json!({ "policy": "ALLOW" })).await;
            limit(&app.acme, &format!("/v1/tools/{tool}"), json!({ "perMinute": 1, "burst": 1 })).await;
        }
        let call = |name: &str, case: &str| json!({ "name": name, "arguments": { "case": case } });
        let turns = json!([
            { "toolCalls": [call("once", "a"), call("once", "b")] },
            { "toolCalls": [call("safe", "c"), call("safe", "d"), call("safe", "e")] },
            { "text": "done" },
        ]);
        let run = app.acme.create(json!({ "agentId": agent, "input": { "script": turns } })).await;
        for wait in 1..=3 {
            let cause = limited(&app.acme, &run).await;
            let name = if wait == 1 { "once" } else { "safe" };
            assert!(cause["message"].as_str().unwrap().contains(&format!("its tool {name} ")), "{cause}");
            app.core.clock.advance(Duration::from_secs(60));
            eventually("it goes on", async || {
                kinds(&app.acme, &run).await.iter().filter(|kind| *kind == "run.started").count() > wait
            })
            .await;
        }
        let done = until(&app.acme, &run, "COMPLETED").await;
        assert_eq!((&done["output"], &done["attempt"]), (&json!("done"), &json!(1)));
        assert_eq!(server.effects().len(), 2, "no call is made twice, and none is asked about");
        let steps = app.acme.owner.get(&format!("{run}/steps")).await.expect(200);
        let calls: Vec<_> = steps["data"].as_array().unwrap().iter().filter(|step| step["kind"] == "TOOL").collect();
        assert!(calls.len() == 5 && calls.iter().all(|step| step["status"] == "COMPLETED"), "{steps}");
    }

    async fn workers_are_given_as_many_as_there_are_tokens(app: App) {
        let client = key(&app).await;
        let tool = app.acme.function("resize", json!({ "rateLimit": { "perMinute": 6, "burst": 2 } })).await;
        let definition = app.acme.definition("d", json!({ "toolId": tool })).await;
        for _ in 0..5 {
            create(&client, &definition, json!({})).await;
        }
        let worker = Worker::register(&client, "w", &["function:resize"], 9).await;
        assert_eq!(worker.claim(9).await.len(), 2);
        assert!(worker.claim(9).await.is_empty());
        app.core.clock.advance(Duration::from_secs(10));
        assert_eq!(worker.claim(9).await.len(), 1);
    }

    async fn what_is_no_limit_is_pointed_at(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let path = format!("/v1/tools/{tool}");
        for (wrong, pointer) in [
            (json!({ "perMinute": 0 }), "/rateLimit/perMinute"),
            (json!({ "perMinute": 60_001 }), "/rateLimit/perMinute"),
            (json!({ "perMinute": 1, "burst": 0 }), "/rateLimit/burst"),
            (json!({ "burst": 1 }), "/rateLimit"),
        ] {
            let refused = app.acme.owner.patch(&path, json!({ "rateLimit": wrong })).await.expect(422);
            assert!(refused["errors"][0]["pointer"].as_str().unwrap().starts_with(pointer), "{refused}");
        }
        assert_eq!(app.acme.owner.get(&path).await.expect(200)["rateLimit"], Value::Null);
        let config = json!({ "allowedHosts": ["http://127.0.0.1:9"] });
        let body = json!({ "name": "secret", "type": "GENERIC_HTTP", "config": config, "rateLimit": { "perMinute": 1 } });
        let refused = app.acme.owner.post("/v1/integrations", body).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/rateLimit");
    }
}
