//! A paused task definition: nothing of it starts, nothing of others waits behind it, and what executes drains.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entity::tasks::task_run::RunReason;
use serde_json::{Value, json};
use service::core::World;
use service::engine::{Attempt, Executor, Outcome, Progress};
use tokio::sync::{Notify, Semaphore};

use super::workers::{create, key, run_of};
use crate::support::workers::Worker;
use crate::support::{App, Backend, Tenant, eventually};

async fn pause(tenant: &Tenant, definition: &str) -> Value {
    let path = format!("/v1/task-definitions/{definition}/pause");
    tenant.owner.post(&path, json!({ "reason": "The supplier is down." })).await.expect(200)
}

async fn resume(tenant: &Tenant, definition: &str) -> Value {
    tenant.owner.post(&format!("/v1/task-definitions/{definition}/resume"), json!({})).await.expect(200)
}

async fn status(tenant: &Tenant, run: &str) -> Value {
    tenant.owner.get(run).await.expect(200)["status"].clone()
}

async fn completes(tenant: &Tenant, run: &str) {
    eventually("the run ends", async || status(tenant, run).await == "COMPLETED").await;
}

fn codes(explanation: &Value) -> Vec<&str> {
    explanation["causes"].as_array().unwrap().iter().map(|cause| cause["code"].as_str().unwrap()).collect()
}

/// Two definitions of one agent.
async fn two(tenant: &Tenant) -> [String; 2] {
    let agent = tenant.agent("both", json!({})).await;
    let of = |name| tenant.definition(name, json!({ "agentId": agent }));
    [of("one").await, of("other").await]
}

on_both! {
    async fn its_runs_wait_and_those_of_others_go_on(app: App) {
        let [paused, other] = two(&app.acme).await;
        let before = app.acme.owner.get(&format!("/v1/task-definitions/{paused}")).await.expect(200);
        assert_eq!((&before["pausedAt"], &before["pausedReason"]), (&Value::Null, &Value::Null));
        let shown = pause(&app.acme, &paused).await;
        assert_eq!(shown["pausedReason"], "The supplier is down.");
        assert!(shown["pausedAt"].is_string() && shown["isActive"] == true, "{shown}");
        assert_eq!(shown["revision"].as_i64(), before["revision"].as_i64().map(|revision| revision + 1));
        let again = format!("/v1/task-definitions/{paused}/pause");
        assert_eq!(app.acme.owner.post(&again, json!({})).await.problem(409), "invalid_transition");

        let waiting = app.acme.create(json!({ "definitionId": paused, "input": "x" })).await;
        for _ in 0..3 {
            let run = app.acme.run(json!({ "definitionId": other, "input": "x" })).await;
            assert_eq!(run["status"], "COMPLETED", "one lane, another definition");
        }
        assert_eq!(status(&app.acme, &waiting).await, "PENDING");
        let why = app.acme.owner.get(&format!("{waiting}/explain")).await.expect(200);
        assert_eq!(codes(&why), ["DEFINITION_PAUSED", "QUEUE_EXPIRES"]);
        assert_eq!(why["summary"], "Its definition is paused (The supplier is down.): it starts nothing.");
        assert_eq!((&why["causes"][0]["blocks"], &why["estimate"]), (&json!(true), &Value::Null));
        assert_eq!(why["actions"][1]["path"], format!("/v1/task-definitions/{paused}/resume"));
        let listed = app.acme.owner.get("/v1/task-definitions?isPaused=true").await.expect(200);
        assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"]), (1, &json!(paused)));
        let listed = app.acme.owner.get("/v1/task-definitions?isPaused=false").await.expect(200);
        assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["id"]), (1, &json!(other)));

        let shown = resume(&app.acme, &paused).await;
        assert_eq!((&shown["pausedAt"], &shown["pausedReason"]), (&Value::Null, &Value::Null));
        completes(&app.acme, &waiting).await;
        let path = format!("/v1/task-definitions/{paused}/resume");
        assert_eq!(app.acme.owner.post(&path, json!({})).await.problem(409), "invalid_transition");
        assert_eq!(app.rival.owner.post(&path, json!({})).await.problem(404), "not_found");
        app.acme.run(json!({ "definitionId": paused, "input": "x" })).await;
    }

    async fn what_starts_runs_queues_them(app: App) {
        let [paused, _] = two(&app.acme).await;
        let recurrence = json!({ "cron": "0 0 1 1 *" });
        let body = json!({ "name": "yearly", "definitionId": paused, "recurrence": recurrence });
        let schedule = app.acme.owner.post("/v1/scheduled-tasks", body).await.expect(201);
        let body = json!({ "name": "batch", "definitionId": paused, "pacing": { "maxInFlight": 2 } });
        let batch = app.acme.owner.post("/v1/batch-tasks", body).await.expect(201);
        let batch = format!("/v1/batch-tasks/{}", batch["id"].as_str().unwrap());
        let targets: Vec<Value> = (0..3).map(|n| json!({ "targetKey": format!("t{n}"), "input": n })).collect();
        app.acme.owner.post(&format!("{batch}/targets"), json!({ "targets": targets })).await.expect(200);
        let trigger = json!({ "type": "EVENT", "filter": { "type": { "equals": "ordered" } } });
        let patch = json!({ "trigger": trigger });
        app.acme.owner.patch(&format!("/v1/task-definitions/{paused}"), patch).await.expect(200);
        let steps = json!([{ "id": "a", "definition": paused, "input": "x" }]);
        let graph = app.acme.definition("graph", json!({ "config": { "steps": steps } })).await;

        pause(&app.acme, &paused).await;
        let path = format!("/v1/scheduled-tasks/{}/trigger", schedule["id"].as_str().unwrap());
        let fire = app.acme.owner.post(&path, json!({ "overlap": "ALLOW" })).await.expect(201);
        app.acme.owner.post(&format!("{batch}/start"), json!({})).await.expect(200);
        app.acme.owner.post("/v1/events", json!({ "type": "ordered", "data": {} })).await.expect(201);
        let parent = app.acme.create(json!({ "definitionId": graph, "input": {} })).await;
        let list = format!("/v1/task-runs?definitionId={paused}&status=PENDING");
        eventually("all of them are queued", async || {
            app.acme.owner.get(&list).await.expect(200)["data"].as_array().unwrap().len() == 5
        })
        .await;
        let echo = app.acme.agent("echo", json!({})).await;
        app.acme.run(json!({ "agentId": echo, "input": "x" })).await;
        assert_eq!(app.acme.owner.get(&list).await.expect(200)["data"].as_array().unwrap().len(), 5);
        assert_eq!(app.acme.owner.get(&parent).await.expect(200)["reason"], "CHILDREN");

        resume(&app.acme, &paused).await;
        completes(&app.acme, &parent).await;
        completes(&app.acme, &format!("/v1/task-runs/{}", fire["runId"].as_str().unwrap())).await;
        eventually("the batch ends", async || {
            app.acme.owner.get(&batch).await.expect(200)["status"] == "COMPLETED"
        })
        .await;
    }

    async fn a_cancelled_run_is_held_no_more(app: App) {
        let [paused, _] = two(&app.acme).await;
        pause(&app.acme, &paused).await;
        let run = app.acme.create(json!({ "definitionId": paused, "input": "x" })).await;
        let held = async || {
            let sql = "SELECT id FROM task_run WHERE held_at IS NOT NULL";
            let system = app.core.db.system(service::db::Reason::Engine);
            system.query(sql, Vec::new()).await.unwrap().len()
        };
        eventually("it is held", async || held().await == 1).await;
        app.acme.owner.post(&format!("{run}/cancel"), json!({})).await.expect(200);
        assert_eq!(held().await, 0);
        resume(&app.acme, &paused).await;
        app.acme.owner.post(&format!("{run}/retry"), json!({})).await.expect(200);
        completes(&app.acme, &run).await;
    }

    async fn an_emergency_stop_changes_no_pause(app: App) {
        let [paused, other] = two(&app.acme).await;
        pause(&app.acme, &paused).await;
        app.acme.owner.post("/v1/tenant/emergency-stop", json!({ "reason": "a drill" })).await.expect(200);
        let [kept, run] = [
            app.acme.create(json!({ "definitionId": paused, "input": "x" })).await,
            app.acme.create(json!({ "definitionId": other, "input": "x" })).await,
        ];
        app.acme.owner.post("/v1/tenant/emergency-stop/release", Value::Null).await.expect(200);
        completes(&app.acme, &run).await;
        assert_eq!(status(&app.acme, &kept).await, "PENDING");
        app.acme.owner.post("/v1/tenant/emergency-stop", json!({ "reason": "again" })).await.expect(200);
        resume(&app.acme, &paused).await;
        assert_eq!(codes(&app.acme.owner.get(&format!("{kept}/explain")).await.expect(200))[0], "TENANT_STOPPED");
        app.acme.owner.post("/v1/tenant/emergency-stop/release", Value::Null).await.expect(200);
        completes(&app.acme, &kept).await;
    }

    async fn workers_are_given_nothing_of_it(app: App) {
        let client = key(&app).await;
        let tool = app.acme.function("shared", json!({})).await;
        let paused = app.acme.definition("paused", json!({ "toolId": tool })).await;
        let config = json!({ "concurrency": { "key": "{{ input.customer }}", "limit": 5 } });
        let keyed = app.acme.definition("keyed", json!({ "toolId": tool, "config": config })).await;
        let other = app.acme.definition("other", json!({ "toolId": tool })).await;
        let worker = Worker::register(&client, "w", &["function:shared"], 9).await;
        let first = create(&client, &paused, json!({ "customer": "a" })).await;
        let held = worker.take().await;
        assert_eq!(held.run, first);
        for definition in [&paused, &keyed] {
            pause(&app.acme, definition).await;
            for customer in ["a", "b"] {
                create(&client, definition, json!({ "customer": customer })).await;
            }
        }
        let behind = create(&client, &other, json!({ "customer": "a" })).await;
        let given = worker.claim(9).await;
        assert_eq!(given.iter().map(|lease| &lease.run).collect::<Vec<_>>(), [&behind]);
        assert!(worker.claim(9).await.is_empty());
        // What it held before drains.
        assert_eq!(worker.complete(&held, json!(1)).await["status"], "COMPLETED");
        resume(&app.acme, &keyed).await;
        assert_eq!(worker.claim(9).await.len(), 2);
        resume(&app.acme, &paused).await;
        let given = worker.claim(9).await;
        assert_eq!(given.len(), 2);
        worker.complete(&given[0], json!(1)).await;
        assert_eq!(run_of(&client, &given[0].run).await["status"], "COMPLETED");
    }
}

/// Says that an attempt has begun, and ends it when it may.
struct Gate {
    begun: Arc<Notify>,
    open: Arc<Semaphore>,
}

#[async_trait]
impl Executor for Gate {
    async fn execute(&self, _: &dyn Attempt) -> Outcome {
        self.begun.notify_one();
        self.open.acquire().await.unwrap().forget();
        Outcome::Completed { reason: RunReason::Output, output: json!(null), progress: Progress::default() }
    }
}

async fn what_executes_goes_on_to_its_end(backend: Backend) {
    let (begun, open) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let gate = Arc::new(Gate { begun: begun.clone(), open: open.clone() });
    let app = App::start_executing(backend, World::real(), |_| {}, gate).await;
    let tool = app.acme.builtin("echo", "builtin/echo").await;
    let [paused, other] = [
        app.acme.definition("paused", json!({ "toolId": tool })).await,
        app.acme.definition("other", json!({ "toolId": tool })).await,
    ];
    let running = app.acme.create(json!({ "definitionId": paused, "input": {} })).await;
    tokio::time::timeout(Duration::from_secs(60), begun.notified()).await.unwrap();
    pause(&app.acme, &paused).await;
    let queued = app.acme.create(json!({ "definitionId": paused, "input": {} })).await;
    open.add_permits(100);
    completes(&app.acme, &running).await;
    let next = app.acme.create(json!({ "definitionId": other, "input": {} })).await;
    completes(&app.acme, &next).await;
    assert_eq!(status(&app.acme, &queued).await, "PENDING");
    resume(&app.acme, &paused).await;
    completes(&app.acme, &queued).await;
}

mod drains {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        what_executes_goes_on_to_its_end(Backend::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        what_executes_goes_on_to_its_end(Backend::Postgres).await;
    }
}
