//! Keys that a definition gives its runs: `config.concurrency` and `config.dedupe`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entity::tasks::task_run::{self, RunReason};
use futures_util::future::join_all;
use serde_json::{Value, json};
use service::core::World;
use service::engine::{Attempt, Executor, Outcome, Progress, Stop};
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::support::{App, Backend, Tenant, eventually};

/// Says which run it was given, and ends it when it may.
struct Gate {
    told: mpsc::UnboundedSender<task_run::Model>,
    open: Arc<Semaphore>,
}

#[async_trait]
impl Executor for Gate {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome {
        self.told.send(attempt.run().clone()).unwrap();
        tokio::select! {
            permit = self.open.acquire() => permit.unwrap().forget(),
            stop = attempt.until_stopped() => return match stop {
                Stop::Cancelled => Outcome::Cancelled { progress: Progress::default() },
                _ => Outcome::LeaseLost,
            },
        }
        Outcome::Completed { reason: RunReason::Output, output: json!(null), progress: Progress::default() }
    }
}

/// A server whose runs end when they may.
struct Gated {
    app: App,
    started: Mutex<mpsc::UnboundedReceiver<task_run::Model>>,
    open: Arc<Semaphore>,
}

impl Gated {
    async fn start(backend: Backend) -> Self {
        let (told, started) = mpsc::unbounded_channel();
        let open = Arc::new(Semaphore::new(0));
        let gate = Arc::new(Gate { told, open: open.clone() });
        let app = App::start_executing(backend, World::real(), |_| {}, gate).await;
        Self { app, started: Mutex::new(started), open }
    }

    /// The input of the next run that starts.
    async fn next(&self) -> Value {
        let run = tokio::time::timeout(Duration::from_secs(60), self.started.lock().await.recv()).await;
        run.expect("a run starts within a minute").unwrap().input
    }
}

/// A definition of a built-in tool with this configuration.
async fn keyed(tenant: &Tenant, name: &str, config: Value) -> String {
    let tool = tenant.builtin(name, "builtin/echo").await;
    tenant.definition(name, json!({ "toolId": tool, "config": config })).await
}

/// The same, of an agent that starts nothing.
async fn held(tenant: &Tenant, name: &str, config: Value) -> String {
    let agent = tenant.agent(name, json!({})).await;
    tenant.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
    tenant.definition(name, json!({ "agentId": agent, "config": config })).await
}

fn per_customer(limit: u32, strategy: &str) -> Value {
    json!({ "concurrency": { "key": "{{ input.customer }}", "limit": limit, "strategy": strategy } })
}

fn of(definition: &str, customer: &str, number: usize) -> Value {
    json!({ "definitionId": definition, "input": { "customer": customer, "number": number } })
}

async fn state(tenant: &Tenant, run: &str) -> (Value, Value) {
    let run = tenant.owner.get(run).await.expect(200);
    (run["status"].clone(), run["reason"].clone())
}

async fn a_full_key_waits_and_hides_no_other(backend: Backend) {
    let gated = Gated::start(backend).await;
    let app = &gated.app;
    let definition = keyed(&app.acme, "keyed", per_customer(1, "QUEUE")).await;
    let mut waiting = Vec::new();
    for number in 0..40 {
        waiting.push(app.acme.create(of(&definition, "full", number)).await);
    }
    assert_eq!(gated.next().await["number"], 0);
    app.acme.create(of(&definition, "other", 100)).await;
    assert_eq!(gated.next().await["number"], 100, "the full key stands before it");
    let plain = app
        .acme
        .definition("plain", json!({ "toolId": app.acme.builtin("plain", "builtin/echo").await }))
        .await;
    app.acme.create(of(&plain, "full", 101)).await;
    assert_eq!(gated.next().await["number"], 101);
    // Another tenant's equal key is another key.
    let theirs = keyed(&app.rival, "keyed", per_customer(1, "QUEUE")).await;
    app.rival.create(of(&theirs, "full", 102)).await;
    assert_eq!(gated.next().await["number"], 102);
    let shown = app.acme.owner.get(&waiting[1]).await.expect(200);
    assert_eq!(
        (&shown["status"], &shown["reason"], &shown["concurrencyKey"]),
        (&json!("PENDING"), &json!("CONCURRENCY_LIMIT"), &json!("full")),
        "{shown}"
    );
    for number in 1..=4 {
        // Whichever ends: one of the key is never joined by another.
        app.acme.owner.post(&format!("{}/cancel", waiting[number - 1]), json!({})).await;
        assert_eq!(gated.next().await["number"], number, "a key's runs start in their order");
    }
    gated.open.add_permits(1_000);
    eventually("all have ended", async || state(&app.acme, waiting.last().unwrap()).await.0 == "COMPLETED")
        .await;
}

async fn the_oldest_gives_way(backend: Backend) {
    let gated = Gated::start(backend).await;
    let app = &gated.app;
    let definition = keyed(&app.acme, "newest", per_customer(1, "CANCEL_OLDEST")).await;
    let first = app.acme.create(of(&definition, "a", 1)).await;
    assert_eq!(gated.next().await["number"], 1);
    let other = app.acme.create(of(&definition, "b", 2)).await;
    assert_eq!(gated.next().await["number"], 2);
    let second = app.acme.create(of(&definition, "a", 3)).await;
    assert_eq!(gated.next().await["number"], 3, "it starts once the oldest is gone");
    assert_eq!(state(&app.acme, &first).await, (json!("CANCELLED"), json!("BY_POLICY")));
    let why = app.acme.owner.get(&format!("{first}/explain")).await.expect(200);
    assert_eq!(why["summary"], "Its concurrency key had as many live runs as it may.");
    assert_eq!(state(&app.acme, &other).await.0, "RUNNING");
    assert_eq!(state(&app.acme, &second).await.0, "RUNNING");
    gated.open.add_permits(100);
}

macro_rules! gated {
    ($($name:ident)+) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(super::Backend::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(super::Backend::Postgres).await;
            }
        })+
    };
}

gated! { a_full_key_waits_and_hides_no_other the_oldest_gives_way }

on_both! {
    async fn a_full_key_refuses_exactly_what_is_too_much(app: App) {
        let definition = held(&app.acme, "reject", per_customer(3, "REJECT")).await;
        let tries = (0..12).map(|number| app.acme.owner.post("/v1/task-runs", of(&definition, "a", number)));
        let answers = join_all(tries).await;
        let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(made.len(), 3, "{answers:?}");
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
        assert!(refused.iter().all(|answer| answer.body["code"] == "concurrency_limit"), "{refused:?}");
        app.acme.owner.post("/v1/task-runs", of(&definition, "b", 1)).await.expect(201);
        let one = format!("/v1/task-runs/{}/cancel", made[0].body["id"].as_str().unwrap());
        app.acme.owner.post(&one, json!({})).await.expect(200);
        app.acme.owner.post("/v1/task-runs", of(&definition, "a", 20)).await.expect(201);
        assert_eq!(app.acme.owner.post("/v1/task-runs", of(&definition, "a", 21)).await.problem(409), "concurrency_limit");
        // What was refused is no run, and an Idempotency-Key of it is free.
        assert_eq!(app.acme.owner.post_once("/v1/task-runs", "k", of(&definition, "a", 22)).await.problem(409), "concurrency_limit");
        let two = format!("/v1/task-runs/{}/cancel", made[1].body["id"].as_str().unwrap());
        app.acme.owner.post(&two, json!({})).await.expect(200);
        app.acme.owner.post_once("/v1/task-runs", "k", of(&definition, "a", 22)).await.expect(201);
    }

    async fn queued_runs_give_way_or_are_surplus(app: App) {
        let oldest = held(&app.acme, "oldest", per_customer(2, "CANCEL_OLDEST")).await;
        let runs = [
            app.acme.create(of(&oldest, "a", 1)).await,
            app.acme.create(of(&oldest, "a", 2)).await,
            app.acme.create(of(&oldest, "a", 3)).await,
        ];
        assert_eq!(state(&app.acme, &runs[0]).await, (json!("CANCELLED"), json!("BY_POLICY")));
        assert_eq!(state(&app.acme, &runs[1]).await.0, "PENDING");
        assert_eq!(state(&app.acme, &runs[2]).await.0, "PENDING");
        let newest = held(&app.acme, "surplus", per_customer(1, "CANCEL_NEWEST")).await;
        let kept = app.acme.create(of(&newest, "a", 1)).await;
        let surplus = app.acme.owner.post("/v1/task-runs", of(&newest, "a", 2)).await.expect(201);
        assert_eq!((&surplus["status"], &surplus["reason"]), (&json!("CANCELLED"), &json!("BY_POLICY")));
        assert_eq!(state(&app.acme, &kept).await.0, "PENDING");
        let events = format!("/v1/task-runs/{}/events", surplus["id"].as_str().unwrap());
        let events = app.acme.owner.get(&events).await.expect(200)["data"].clone();
        let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
        assert_eq!(kinds, ["run.created", "run.cancelled"]);
    }

    async fn a_dedupe_key_answers_with_its_live_run(app: App) {
        let config = json!({ "dedupe": { "key": "{{ input.customer }}" } });
        let definition = held(&app.acme, "once", config.clone()).await;
        let tries = (0..8).map(|number| app.acme.owner.post("/v1/task-runs", of(&definition, "a", number)));
        let ids: Vec<_> = join_all(tries).await.into_iter().map(|answer| answer.expect(201)["id"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_ne!(app.acme.create(of(&definition, "b", 1)).await, format!("/v1/task-runs/{}", ids[0].as_str().unwrap()));
        // Another definition's equal key is another key, and the request's own goes before.
        let other = held(&app.acme, "other", config).await;
        let theirs = app.acme.owner.post("/v1/task-runs", of(&other, "a", 1)).await.expect(201);
        assert_ne!(theirs["id"], ids[0]);
        assert_eq!(theirs["dedupeKey"], "a");
        let mut own = of(&definition, "a", 1);
        own["dedupeKey"] = json!("mine");
        assert_ne!(app.acme.owner.post("/v1/task-runs", own).await.expect(201)["id"], ids[0]);
        let cancel = format!("/v1/task-runs/{}/cancel", ids[0].as_str().unwrap());
        app.acme.owner.post(&cancel, json!({})).await.expect(200);
        assert_ne!(app.acme.owner.post("/v1/task-runs", of(&definition, "a", 1)).await.expect(201)["id"], ids[0]);
    }

    async fn what_keys_cannot_be_is_refused_with_its_place(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        for (config, pointer) in [
            (json!({ "concurrency": { "key": "{{ input." } }), "/config/concurrency/key"),
            (json!({ "concurrency": { "key": "" } }), "/config/concurrency/key"),
            (json!({ "concurrency": { "key": "x", "limit": 0 } }), "/config/concurrency/limit"),
            (json!({ "concurrency": { "key": "x", "limit": 1001 } }), "/config/concurrency/limit"),
            (json!({ "concurrency": { "key": "x", "strategy": "WAIT" } }), "/config/concurrency/strategy"),
            (json!({ "dedupe": { "key": "{{ input.a | }}" } }), "/config/dedupe/key"),
            (json!({ "dedupe": { "key": "x", "until": "TTL" } }), "/config/dedupe/ttlSeconds"),
            (json!({ "dedupe": { "key": "x", "ttlSeconds": 5 } }), "/config/dedupe/ttlSeconds"),
        ] {
            let body = json!({ "name": "wrong", "type": "AUTOMATION", "toolId": tool, "config": config });
            let answer = app.acme.owner.post("/v1/task-definitions", body).await.expect(422);
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        let config = json!({ "concurrency": { "key": "{{ input.customer }}" }, "dedupe": { "key": "{{ input.order }}" } });
        let definition = keyed(&app.acme, "both", config).await;
        for (input, code) in [
            (json!({ "order": "1" }), "concurrency_key"),
            (json!("text"), "concurrency_key"),
            (json!({ "customer": "a" }), "dedupe_key"),
            (json!({ "customer": "", "order": "1" }), "concurrency_key"),
            (json!({ "customer": "a".repeat(201), "order": "1" }), "concurrency_key"),
        ] {
            let answer = app.acme.owner.post("/v1/task-runs", json!({ "definitionId": definition, "input": input })).await;
            let answer = answer.expect(422);
            assert_eq!((&answer["errors"][0]["pointer"], &answer["errors"][0]["code"]), (&json!("/input"), &json!(code)), "{answer}");
        }
        let odd = json!({ "customer": "'\"\u{ffff}", "order": [1, null] });
        let run = app.acme.run(json!({ "definitionId": definition, "input": odd })).await;
        assert_eq!((&run["status"], &run["dedupeKey"]), (&json!("COMPLETED"), &json!("[1,null]")), "{run}");
    }
}

on_both! {
    manual;
    async fn a_dedupe_key_answers_for_its_time(app: App) {
        let config = json!({ "dedupe": { "key": "{{ input.customer }}", "until": "TTL", "ttlSeconds": 60 } });
        let definition = keyed(&app.acme, "once", config).await;
        let tries = (0..8).map(|number| app.acme.owner.post("/v1/task-runs?wait=30", of(&definition, "a", number)));
        let ids: Vec<_> = join_all(tries).await.into_iter().map(|answer| answer.expect(201)["id"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let again = async || app.acme.run(of(&definition, "a", 9)).await["id"].clone();
        let replay = format!("/v1/task-runs/{}/replay?wait=30", ids[0].as_str().unwrap());
        assert_ne!(app.acme.owner.post(&replay, json!({})).await.expect(201)["id"], ids[0], "a replay is asked for by name");
        app.core.clock.advance(Duration::from_secs(59));
        assert_eq!(again().await, ids[0], "its time is not over");
        app.core.clock.advance(Duration::from_secs(1));
        let next = again().await;
        assert_ne!(next, ids[0]);
        assert_eq!(again().await, next);
    }
}
