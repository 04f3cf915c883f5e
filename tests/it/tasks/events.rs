//! `/v1/events` as a caller sees it: what they start, what they resume, and what they do not.

use serde_json::{Value, json};

use crate::support::{App, Client, eventually, people};

/// A definition that echoes what it is given, started by events.
async fn listening(app: &App, name: &str, trigger: Value) -> String {
    let tool = app.acme.builtin(name, "builtin/echo").await;
    let mut body = json!({ "type": "EVENT" });
    body.as_object_mut().unwrap().extend(trigger.as_object().unwrap().clone());
    app.acme.definition(name, json!({ "toolId": tool, "trigger": body })).await
}

fn orders() -> Value {
    json!({ "filter": { "type": { "prefix": "order." }, "data": { "/total": { "gte": 100 } } } })
}

async fn completed(owner: &Client, run: &Value) -> Value {
    let path = format!("/v1/task-runs/{}", run.as_str().unwrap());
    eventually("it ends", async || owner.get(&path).await.expect(200)["status"] == "COMPLETED").await;
    owner.get(&path).await.expect(200)
}

/// The path of a run that waits for the key.
async fn waiting(app: &App, key: &str) -> String {
    let name = format!("wait_{}", app.core.ids.next().simple());
    let tool = app.acme.builtin(&name, "builtin/wait_for_event").await;
    let definition = app.acme.definition(&name, json!({ "toolId": tool })).await;
    let path = app.acme.create(json!({ "definitionId": definition, "input": { "key": key } })).await;
    let waits = async || app.acme.owner.get(&path).await.expect(200)["status"] == "WAITING";
    eventually("it waits", waits).await;
    path
}

async fn output(owner: &Client, path: &str) -> Value {
    eventually("it ends", async || owner.get(path).await.expect(200)["status"] == "COMPLETED").await;
    owner.get(path).await.expect(200)["output"].clone()
}

on_both! {
    async fn an_event_starts_the_definitions_that_it_matches(app: App) {
        let owner = &app.acme.owner;
        let plain = listening(&app, "plain", orders()).await;
        let mut mapped = orders();
        mapped["input"] = json!({ "order": "{{ event.data.order }}", "kind": "{{ event.type }}" });
        let mapped = listening(&app, "mapped", mapped).await;
        let other = listening(&app, "other", json!({ "filter": { "type": { "equals": "user.made" } } })).await;
        let off = listening(&app, "off", orders()).await;
        owner.patch(&format!("/v1/task-definitions/{off}"), json!({ "isActive": false })).await.expect(200);

        let data = json!({ "order": "4711", "total": 120 });
        let event = owner.post("/v1/events", json!({ "type": "order.paid", "data": data, "source": "shop" })).await;
        let location = event.headers["location"].to_str().unwrap().to_owned();
        let event = event.expect(201);
        let started: Vec<_> = event["runs"].as_array().unwrap().iter().map(|run| run["definitionId"].as_str().unwrap()).collect();
        assert_eq!(started.len(), 2, "{event}");
        assert!(started.contains(&plain.as_str()) && started.contains(&mapped.as_str()) && !started.contains(&other.as_str()));
        for run in event["runs"].as_array().unwrap() {
            assert_eq!(run["status"], "STARTED");
            let done = completed(owner, &run["runId"]).await;
            let expected = if run["definitionId"] == json!(plain) { data.clone() } else { json!({ "order": "4711", "kind": "order.paid" }) };
            assert_eq!((&done["output"], &done["createdBy"]), (&expected, &json!(format!("trigger:{}", run["definitionId"].as_str().unwrap()))));
        }
        assert_eq!(owner.get(&location).await.expect(200), event);
        assert_eq!(owner.get("/v1/events?type=order.paid").await.expect(200)["data"], json!([event]));
        assert_eq!(app.rival.owner.get(&location).await.problem(404), "not_found");

        let small = owner.post("/v1/events", json!({ "type": "order.paid", "data": { "total": 99 } })).await.expect(201);
        assert_eq!(small["runs"], json!([]));
        let elsewhere = app.rival.owner.post("/v1/events", json!({ "type": "order.paid", "data": data })).await.expect(201);
        assert_eq!(elsewhere["runs"], json!([]), "another tenant's event starts nothing here");
    }

    async fn an_event_counts_once(app: App) {
        let owner = &app.acme.owner;
        listening(&app, "plain", orders()).await;
        let body = json!({ "type": "order.paid", "data": { "total": 100 }, "dedupeId": "evt-1" });
        let answers = futures_util::future::join_all((0..8).map(|_| owner.post("/v1/events", body.clone()))).await;
        let first: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(first.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.body == first[0].body && matches!(answer.status, 200 | 201)));
        completed(owner, &first[0].body["runs"][0]["runId"]).await;
        assert_eq!(owner.get("/v1/task-runs").await.expect(200)["data"].as_array().unwrap().len(), 1);
        let theirs = app.rival.owner.post("/v1/events", body.clone()).await.expect(201);
        assert_ne!(theirs["id"], first[0].body["id"], "an id is the tenant's own");

        let keyed = json!({ "type": "order.paid", "data": { "total": 100 } });
        let one = owner.post_once("/v1/events", "k", keyed.clone()).await.expect(201);
        assert_eq!(owner.post_once("/v1/events", "k", keyed).await.expect(201), one);
        assert_eq!(owner.get("/v1/events").await.expect(200)["data"].as_array().unwrap().len(), 2);
    }

    async fn what_cannot_be_started_holds_back_nothing(app: App) {
        let owner = &app.acme.owner;
        let good = listening(&app, "good", orders()).await;
        let mut wrong = orders();
        wrong["input"] = json!({ "city": "{{ event.data.address.city }}" });
        let template = listening(&app, "template", wrong).await;
        let strict = listening(&app, "strict", orders()).await;
        let config = json!({ "config": { "inputSchema": { "required": ["customer"] } } });
        owner.patch(&format!("/v1/task-definitions/{strict}"), config).await.expect(200);
        let event = owner.post("/v1/events", json!({ "type": "order.paid", "data": { "total": 100 } })).await.expect(201);
        let of = |id: &str| event["runs"].as_array().unwrap().iter().find(|run| run["definitionId"] == id).unwrap().clone();
        assert_eq!(of(&good)["status"], "STARTED");
        for refused in [of(&template), of(&strict)] {
            assert_eq!((&refused["status"], &refused["code"], &refused["runId"]), (&json!("REFUSED"), &json!("validation_failed"), &Value::Null));
            assert!(refused["message"].is_string(), "{refused}");
        }
        completed(owner, &of(&good)["runId"]).await;
    }

    async fn an_event_says_what_keys_made_of_its_runs(app: App) {
        let owner = &app.acme.owner;
        let tool = app.acme.builtin("until", "builtin/wait_for_event").await;
        let mut keyed = Vec::new();
        for (name, config) in [
            ("full", json!({ "concurrency": { "key": "{{ input.key }}", "limit": 1, "strategy": "REJECT" } })),
            ("live", json!({ "dedupe": { "key": "{{ input.key }}", "until": "TERMINAL" } })),
            ("lately", json!({ "dedupe": { "key": "{{ input.key }}", "until": "TTL", "ttlSeconds": 600 } })),
        ] {
            let mut trigger = orders();
            trigger["type"] = json!("EVENT");
            trigger["input"] = json!({ "key": "{{ event.data.order }}" });
            keyed.push(app.acme.definition(name, json!({ "toolId": tool, "trigger": trigger, "config": config })).await);
        }
        let body = json!({ "type": "order.paid", "data": { "order": "4711", "total": 120 } });
        let first = owner.post("/v1/events", body.clone()).await.expect(201);
        let second = owner.post("/v1/events", body).await.expect(201);
        let of = |event: &Value, id: &str| event["runs"].as_array().unwrap().iter().find(|run| run["definitionId"] == id).unwrap().clone();
        for id in &keyed {
            assert_eq!(of(&first, id)["status"], "STARTED", "{first}");
        }
        let refused = of(&second, &keyed[0]);
        assert_eq!((&refused["status"], &refused["code"], &refused["runId"]), (&json!("REFUSED"), &json!("concurrency_limit"), &Value::Null));
        for id in &keyed[1..] {
            assert_eq!(of(&second, id), of(&first, id), "the live run answers for the key");
        }
        assert_eq!(owner.get("/v1/task-runs").await.expect(200)["data"].as_array().unwrap().len(), 3);
    }

    async fn a_trigger_is_checked_when_it_is_saved(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        for (kind, trigger, pointer) in [
            ("AUTOMATION", json!({ "type": "EVENT" }), "/trigger/filter"),
            ("AUTOMATION", json!({ "type": "EVENT", "filter": {} }), "/trigger/filter"),
            ("AUTOMATION", json!({ "type": "EVENT", "filter": { "type": { "regex": "x" } } }), "/trigger/filter/type/regex"),
            ("AUTOMATION", json!({ "type": "EVENT", "filter": { "data": { "total": { "gt": 1 } } } }), "/trigger/filter/data/total"),
            ("AUTOMATION", json!({ "type": "EVENT", "filter": { "any": [{ "type": { "in": [] } }] } }), "/trigger/filter/any/0/type/in"),
            ("AUTOMATION", json!({ "type": "EVENT", "filter": { "type": { "exists": true } }, "input": { "a": "{{ x" } }), "/trigger/input/a"),
            ("AUTOMATION", json!({ "type": "MANUAL", "filter": { "type": { "exists": true } } }), "/trigger/filter"),
            ("AUTOMATION", json!({ "type": "WEBHOOK" }), "/trigger/type"),
            ("AUTOMATION", json!({ "type": "EVENT", "filter": { "type": { "exists": true } }, "correlationKey": "a" }), "/trigger/correlationKey"),
            ("WEBHOOK", json!({}), "/trigger/type"),
            ("WEBHOOK", json!({ "type": "WEBHOOK", "correlationKey": "{{ body.x" }), "/trigger/correlationKey"),
        ] {
            let body = json!({ "name": "d", "type": kind, "toolId": tool, "trigger": trigger });
            let refused = app.acme.owner.post("/v1/task-definitions", body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{trigger}");
        }
        let definition = listening(&app, "fine", orders()).await;
        let path = format!("/v1/task-definitions/{definition}");
        let refused = app.acme.owner.patch(&path, json!({ "type": "CHAT" })).await.expect(422);
        assert!(refused["errors"].as_array().unwrap().iter().any(|error| error["pointer"] == "/trigger/type" || error["pointer"] == "/agentId"));
        let big = json!({ "type": "big", "data": "x".repeat(257 << 10) });
        assert_eq!(app.acme.owner.post("/v1/events", big).await.expect(422)["errors"][0]["pointer"], "/data");
    }

    async fn an_event_lets_the_runs_that_wait_for_its_key_go_on(app: App) {
        let owner = &app.acme.owner;
        let (one, other) = (waiting(&app, "order-1").await, waiting(&app, "order-2").await);
        let twin = waiting(&app, "order-1").await;
        let foreign = app.rival.owner.post("/v1/events", json!({ "type": "paid", "correlationKey": "order-1" })).await.expect(201);
        assert_eq!(foreign["resumed"], 0);
        let body = json!({ "type": "paid", "data": { "by": "card" }, "correlationKey": "order-1" });
        let event = owner.post("/v1/events", body.clone()).await.expect(201);
        assert_eq!(event["resumed"], 2, "{event}");
        for path in [&one, &twin] {
            assert_eq!(output(owner, path).await, json!({ "id": event["id"], "type": "paid", "data": { "by": "card" } }));
        }
        let still = owner.get(&other).await.expect(200);
        assert_eq!((&still["status"], &still["waitingFor"][0]["key"]), (&json!("WAITING"), &json!("order-2")));
        assert_eq!(owner.post("/v1/events", body).await.expect(201)["resumed"], 0, "nobody waits any more");
    }

    async fn of_many_events_for_one_wait_one_counts(app: App) {
        let owner = &app.acme.owner;
        let path = waiting(&app, "order-1").await;
        let events = (0..8).map(|number| owner.post("/v1/events", json!({ "type": "paid", "data": number, "correlationKey": "order-1" })));
        let events = futures_util::future::join_all(events).await;
        let won: Vec<_> = events.into_iter().map(|answer| answer.expect(201)).filter(|event| event["resumed"] == 1).collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(output(owner, &path).await["id"], won[0]["id"]);
    }

    async fn an_event_of_a_strict_workspace_stays_there(app: App) {
        let owner = &app.acme.owner;
        let body = json!({ "name": "Strict", "isolation": "STRICT" });
        let workspace = owner.post("/v1/workspaces", body).await.expect(201)["id"].clone();
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let trigger = json!({ "type": "EVENT", "filter": { "type": { "exists": true } } });
        let within = json!({ "name": "within", "type": "AUTOMATION", "toolId": tool, "trigger": trigger, "workspaceId": workspace });
        let within = owner.post("/v1/task-definitions", within).await.expect(201)["id"].clone();
        let outside = listening(&app, "outside", json!({ "filter": { "type": { "exists": true } } })).await;
        let colleague = people::verified(&app, owner, "other@acme.example.com", "OPERATOR").await;

        let of_it = owner.post("/v1/events", json!({ "type": "a", "workspaceId": workspace })).await.expect(201);
        assert_eq!(of_it["runs"].as_array().unwrap().len(), 1);
        assert_eq!(of_it["runs"][0]["definitionId"], within);
        assert_eq!(colleague.get(&format!("/v1/events/{}", of_it["id"].as_str().unwrap())).await.problem(404), "not_found");
        let theirs = colleague.post("/v1/events", json!({ "type": "a" })).await.expect(201);
        assert_eq!(theirs["runs"].as_array().unwrap().len(), 1);
        assert_eq!(theirs["runs"][0]["definitionId"], json!(outside));
        let refused = colleague.post("/v1/events", json!({ "type": "a", "workspaceId": workspace })).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/workspaceId");
        let all = owner.post("/v1/events", json!({ "type": "a" })).await.expect(201);
        assert_eq!(all["runs"].as_array().unwrap().len(), 2, "who sees both starts both");
    }
}

on_both! {
    async fn an_event_that_came_before_its_wait_is_not_lost(app: App) {
        let owner = &app.acme.owner;
        // The run is made first, and waits later: it rests a second before.
        let agent = app.acme.agent("two", json!({ "model": "mock/script" })).await;
        let rest = app.acme.builtin("rest", "builtin/wait").await;
        let wait = app.acme.builtin("hear", "builtin/wait_for_event").await;
        app.acme.bind(&agent, &rest, json!({})).await;
        app.acme.bind(&agent, &wait, json!({})).await;
        let hear = json!({ "name": "hear", "arguments": { "key": "late" } });
        let script = json!({ "script": [
            { "toolCalls": [{ "name": "rest", "arguments": { "seconds": 1 } }] },
            { "toolCalls": [hear] }, { "toolCalls": [hear] }, { "text": "heard twice" },
        ] });
        let before = json!({ "type": "early", "data": 0, "correlationKey": "late" });
        owner.post("/v1/events", before).await.expect(201);
        let path = app.acme.create(json!({ "agentId": agent, "input": script })).await;
        let first = owner.post("/v1/events", json!({ "type": "early", "data": 1, "correlationKey": "late" })).await.expect(201);
        let second = owner.post("/v1/events", json!({ "type": "early", "data": 2, "correlationKey": "late" })).await.expect(201);
        assert_eq!(output(owner, &path).await, "heard twice");
        let waits = owner.get(&format!("/v1/run-waits?kind=EXTERNAL_EVENT&runId={}", path.rsplit('/').next().unwrap())).await.expect(200);
        let mut heard: Vec<_> = waits["data"].as_array().unwrap().iter().map(|wait| wait["eventId"].as_str().unwrap().to_owned()).collect();
        heard.sort();
        assert_eq!(heard, [first["id"].as_str().unwrap(), second["id"].as_str().unwrap()], "each once, and not what came before the run");
    }
}
