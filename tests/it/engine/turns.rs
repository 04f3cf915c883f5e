//! A node that claims one run at a time takes the tenants in turn, inside a tenant the keys, and inside a key the
//! runs in order. One that claims several gives each tenant the weight of its plan.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use entity::tasks::task_run::{self, RunReason};
use serde_json::json;
use service::clock::Clock;
use service::core::World;
use service::engine::{Attempt, Executor, Outcome, Progress};
use service::ids::Ids;
use tokio::sync::mpsc;

use crate::support::{App, Backend};

const EACH: u64 = 4;

/// Says which run it was given, and ends it.
struct Told(mpsc::UnboundedSender<task_run::Model>);

#[async_trait]
impl Executor for Told {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome {
        self.0.send(attempt.run().clone()).unwrap();
        Outcome::Completed { reason: RunReason::Output, output: json!(null), progress: Progress::default() }
    }
}

/// A server whose node executes so many at once, and what it starts.
async fn told(
    backend: Backend,
    concurrency: usize,
    executor: impl FnOnce(mpsc::UnboundedSender<task_run::Model>) -> Arc<dyn Executor>,
) -> (App, Clock, mpsc::UnboundedReceiver<task_run::Model>) {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let (told, started) = mpsc::unbounded_channel();
    let adjust = |config: &mut service::config::Config| config.engine.concurrency = concurrency;
    (App::start_executing(backend, world, adjust, executor(told)).await, clock, started)
}

async fn tenants_in_turn(backend: Backend) {
    let (app, clock, mut started) = told(backend, 1, |told| Arc::new(Told(told))).await;
    let third = app.tenant("third").await;
    let due = |index| clock.after(Duration::from_secs(5) + Duration::from_millis(index));
    let tenants = [&app.acme, &app.rival, &third];
    for tenant in tenants {
        let tool = tenant.builtin("echo", "builtin/echo").await;
        let definition = tenant.definition("echo", json!({ "toolId": tool })).await;
        for index in 0..EACH {
            tenant
                .create(json!({ "definitionId": definition, "input": index, "availableAt": due(index) }))
                .await;
        }
    }
    // All of them become due at once.
    clock.advance(Duration::from_secs(6));
    for round in 0..EACH {
        let mut ids = Vec::new();
        for _ in tenants {
            let run = started.recv().await.unwrap();
            assert_eq!(run.input, json!(round), "a tenant's runs start in their order");
            ids.push(run.tenant_id.to_string());
        }
        for tenant in tenants {
            assert!(ids.contains(&tenant.id), "round {round}: {ids:?}");
        }
    }
}

async fn keys_in_turn(backend: Backend) {
    let (app, clock, mut started) = told(backend, 1, |told| Arc::new(Told(told))).await;
    let config = json!({ "concurrency": { "key": "{{ input.key }}", "limit": 10 } });
    let tool = app.acme.builtin("echo", "builtin/echo").await;
    let definition = app.acme.definition("echo", json!({ "toolId": tool, "config": config })).await;
    let due = |index| clock.after(Duration::from_secs(5) + Duration::from_millis(index));
    // One key has queued many before the others come.
    for (key, count) in [("greedy", 20), ("modest", 2), ("small", 2)] {
        for number in 0..count {
            let input = json!({ "key": key, "number": number });
            app.acme
                .create(json!({ "definitionId": definition, "input": input, "availableAt": due(number) }))
                .await;
        }
    }
    clock.advance(Duration::from_secs(6));
    for round in 0..2 {
        let mut keys = Vec::new();
        for _ in 0..3 {
            let run = started.recv().await.unwrap();
            assert_eq!(run.input["number"], round, "a key's runs start in their order");
            keys.push(run.input["key"].as_str().unwrap().to_owned());
        }
        keys.sort();
        assert_eq!(keys, ["greedy", "modest", "small"], "round {round}");
    }
}

/// Says which run it was given, and never ends it.
struct Held(mpsc::UnboundedSender<task_run::Model>);

#[async_trait]
impl Executor for Held {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome {
        self.0.send(attempt.run().clone()).unwrap();
        attempt.until_stopped().await;
        Outcome::LeaseLost
    }
}

/// However long one tenant's runs take, another's first starts.
async fn room_for_others(backend: Backend) {
    let (app, _clock, mut started) = told(backend, 32, |told| Arc::new(Held(told))).await;
    for (tenant, most) in [(&app.acme, 30), (&app.rival, 2)] {
        let tool = tenant.builtin("echo", "builtin/echo").await;
        let definition = tenant.definition("echo", json!({ "toolId": tool })).await;
        for _ in 0..40 {
            tenant.create(json!({ "definitionId": definition, "input": null })).await;
        }
        for _ in 0..most {
            assert_eq!(started.recv().await.unwrap().tenant_id.to_string(), tenant.id);
        }
        let page = tenant.owner.get("/v1/task-runs?status=RUNNING&limit=100").await.expect(200);
        assert_eq!(page["data"].as_array().unwrap().len(), most, "one leaves room, the other finds it");
    }
    assert!(started.try_recv().is_err());
}

async fn tenants_by_weight(backend: Backend) {
    let (app, clock, mut started) = told(backend, 9, |told| Arc::new(Held(told))).await;
    app.admin.patch(&format!("/v1/tenants/{}", app.rival.id), json!({ "plan": "FREE" })).await.expect(200);
    for tenant in [&app.acme, &app.rival] {
        let tool = tenant.builtin("echo", "builtin/echo").await;
        let definition = tenant.definition("echo", json!({ "toolId": tool })).await;
        for index in 0..20 {
            let at = clock.after(Duration::from_secs(5));
            tenant.create(json!({ "definitionId": definition, "input": index, "availableAt": at })).await;
        }
    }
    clock.advance(Duration::from_secs(6));
    let mut theirs = 0;
    for _ in 0..9 {
        let run = started.recv().await.unwrap();
        theirs += usize::from(run.tenant_id.to_string() == app.rival.id);
    }
    assert_eq!(theirs, 1, "ENTERPRISE has eight turns where FREE has one");
}

macro_rules! on_each_database {
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

on_each_database! { tenants_in_turn keys_in_turn tenants_by_weight room_for_others }
