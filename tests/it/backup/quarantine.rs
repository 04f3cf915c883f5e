//! A restored copy does no work until it is confirmed, and nothing of the former life can write to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entity::tasks::task_run::RunReason;
use secrecy::SecretString;
use serde_json::{Value, json};
use service::backup::quarantine;
use service::core::World;
use service::engine::{Attempt, Event, Executor, LeaseLost, Outcome, Progress};
use tokio::sync::{mpsc, watch};

use crate::support::receiver::Receiver;
use crate::support::smtp::SmtpServer;
use crate::support::workers::Worker;
use crate::support::{App, Backend, Client, PASSWORD, Tenant, eventually, mails};

async fn login(app: &App, email: &str) -> Client {
    let body = json!({ "email": email, "password": PASSWORD });
    let answer = app.anyone().post("/v1/auth/login", body).await.expect(200);
    app.anyone().with_token(answer["accessToken"].as_str().unwrap())
}

async fn begin(app: &mut App) {
    let core = &app.core;
    quarantine::begin(&core.db, &core.clock, &core.ids).await.unwrap();
    // Sessions of the former life have ended.
    app.admin = login(app, "admin@example.com").await;
    app.acme.owner = login(app, &app.acme.owner_email.clone()).await;
    app.rival.owner = login(app, &app.rival.owner_email.clone()).await;
}

async fn confirm(app: &App) -> bool {
    let core = &app.core;
    quarantine::confirm(&core.db, &core.clock, &core.ids).await.unwrap()
}

async fn actions(tenant: &Tenant) -> Vec<Value> {
    let page = tenant.owner.get("/v1/audit-logs?action=confirm_restore").await.expect(200);
    page["data"].as_array().unwrap().clone()
}

async fn a_restored_copy_waits_for_its_confirmation(backend: Backend) {
    let server = SmtpServer::start().await;
    let mut app = App::start_with(backend, World::real(), |config| {
        config.mail.smtp_url = Some(SecretString::from(server.url()));
    })
    .await;
    let tool = app.acme.builtin("echo", "builtin/echo").await;
    let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
    let old = app.acme.owner.clone();
    assert!(!confirm(&app).await, "there is nothing to confirm");
    begin(&mut app).await;
    eventually("the node has noticed", async || app.core.quarantine.is_on()).await;
    eventually("the old session has ended", async || old.get("/v1/whoami").await.status == 401).await;

    let body = json!({ "definitionId": definition, "input": { "n": 1 } });
    let run = app.acme.owner.post("/v1/task-runs?wait=1", body).await.expect(202);
    assert_eq!((&run["status"], &run["attempt"]), (&json!("PENDING"), &json!(0)));
    let to = "ada@example.org";
    let member = json!({ "email": to, "role": "VIEWER", "password": PASSWORD });
    app.acme.owner.post("/v1/memberships", member).await.expect(201);
    app.anyone().post("/v1/auth/forgot-password", json!({ "email": to })).await.expect(202);
    let ready = app.anyone().get("/readyz").await.expect(503);
    let check = ready["checks"].as_array().unwrap().iter().find(|check| check["ok"] == false).unwrap();
    assert_eq!(check["name"], "quarantine");
    assert!(check["cause"].as_str().unwrap().contains("restore --confirm"));
    let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
    assert_eq!(app.acme.owner.get(&path).await.expect(200)["status"], "PENDING");
    assert_eq!(mails::to(&app, to).await[0]["attempts"], 0);

    assert!(confirm(&app).await);
    assert!(!confirm(&app).await);
    eventually("the run ends", async || app.acme.owner.get(&path).await.expect(200)["status"] == "COMPLETED")
        .await;
    eventually("the mail leaves", async || mails::to(&app, to).await[0]["status"] == "SENT").await;
    app.anyone().get("/readyz").await.expect(200);
    for tenant in [&app.acme, &app.rival] {
        let told = actions(tenant).await;
        assert_eq!((told.len(), &told[0]["actor"]), (1, &json!("operator")));
    }
    assert_eq!(app.acme.owner.get("/v1/audit-logs/verify").await.expect(200)["intact"], true);
}

/// What goes on beside claims of the node's own: batches, workers that ask, workers that are sent their runs.
async fn batches_and_workers_wait_as_well(backend: Backend) {
    let mut app = App::start(backend).await;
    let receiver = Receiver::start();
    let owner = app.acme.owner.clone();
    let echo = app.acme.builtin("echo", "builtin/echo").await;
    let echo = app.acme.definition("echo", json!({ "toolId": echo })).await;
    let (asked, sent) = (
        app.acme.remote("asked", json!({}), json!({})).await,
        app.acme.remote("sent", json!({}), json!({})).await,
    );
    let worker = Worker::register(&owner, "asked", &["function:asked"], 4).await;
    let push = json!({ "name": "sent", "capabilities": ["function:sent"], "slots": 4, "delivery": { "url": receiver.url } });
    owner.post("/v1/workers", push).await.expect(201);
    begin(&mut app).await;
    eventually("the node has noticed", async || app.core.quarantine.is_on()).await;
    let owner = app.acme.owner.clone();
    let worker = Worker { client: owner.clone(), ..worker };

    let batch = json!({ "name": "b", "definitionId": echo });
    let batch = owner.post("/v1/batch-tasks", batch).await.expect(201);
    let batch = format!("/v1/batch-tasks/{}", batch["id"].as_str().unwrap());
    let targets = json!({ "targets": [{ "targetKey": "t", "input": { "a": 1 } }] });
    assert!(owner.post(&format!("{batch}/targets"), targets).await.status < 300);
    owner.post(&format!("{batch}/start"), json!({})).await.expect(200);
    let create = async |definition: &str| {
        let run = json!({ "definitionId": definition, "input": {} });
        let run = owner.post("/v1/task-runs", run).await.expect(201);
        format!("/v1/task-runs/{}", run["id"].as_str().unwrap())
    };
    let (asked, sent) = (create(&asked).await, create(&sent).await);
    assert!(worker.claim(4).await.is_empty());
    // Each has had its turn meanwhile, more than once.
    app.core.batches.ring();
    assert!(worker.wait(4, 1_500).await.is_empty());
    assert_eq!(receiver.got().len(), 0);
    for run in [&asked, &sent] {
        assert_eq!(owner.get(run).await.expect(200)["status"], "PENDING");
    }
    let progress = owner.get(&batch).await.expect(200);
    assert!(matches!(progress["status"].as_str(), Some("VALIDATING" | "RUNNING")), "{progress}");
    let runs = owner.get("/v1/task-runs").await.expect(200);
    assert_eq!(runs["data"].as_array().unwrap().len(), 2, "no target has a run: {runs}");

    assert!(confirm(&app).await);
    eventually("the batch ends", async || owner.get(&batch).await.expect(200)["status"] == "COMPLETED").await;
    let got = receiver.until(1).await;
    assert_eq!(format!("/v1/task-runs/{}", got[0].item()["run"]["id"].as_str().unwrap()), sent);
    let lease = worker.take().await;
    assert_eq!(format!("/v1/task-runs/{}", lease.run), asked);
    worker.complete(&lease, json!("done")).await;
}

/// Says that it was given a run, waits to be woken, and then writes as if nothing had happened.
struct FormerLife {
    given: mpsc::UnboundedSender<()>,
    woken: watch::Receiver<bool>,
    refused: mpsc::UnboundedSender<bool>,
}

#[async_trait]
impl Executor for FormerLife {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome {
        self.given.send(()).unwrap();
        let _ = self.woken.clone().wait_for(|woken| *woken).await;
        let recorded = attempt.record(progress()).await;
        self.refused.send(recorded == Err(LeaseLost)).unwrap();
        Outcome::Completed { reason: RunReason::Output, output: json!("stale"), progress: progress() }
    }
}

fn progress() -> Progress {
    Progress { events: vec![Event { kind: "test.stale", data: json!({}) }], ..Progress::default() }
}

async fn a_former_executor_changes_nothing(backend: Backend) {
    let (given, mut claimed) = mpsc::unbounded_channel();
    let (refused, mut refusals) = mpsc::unbounded_channel();
    let (wake, woken) = watch::channel(false);
    let executor = Arc::new(FormerLife { given, woken, refused });
    let still = |config: &mut service::config::Config| {
        config.engine.sweep = Duration::from_secs(86_400);
        config.engine.heartbeat = Duration::from_secs(86_400);
    };
    let mut app = App::start_executing(backend, World::real(), still, executor).await;
    let tool = app.acme.builtin("echo", "builtin/echo").await;
    let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
    let run = app.acme.owner.post("/v1/task-runs", json!({ "definitionId": definition })).await.expect(201);
    claimed.recv().await.unwrap();
    begin(&mut app).await;
    wake.send(true).unwrap();
    assert!(refusals.recv().await.unwrap(), "a write of the former life was taken");
    let path = format!("/v1/task-runs/{}", run["id"].as_str().unwrap());
    let run = app.acme.owner.get(&path).await.expect(200);
    assert_eq!((&run["status"], &run["output"]), (&json!("RUNNING"), &Value::Null));
    let sql = "SELECT MIN(fence) AS fence FROM task_run";
    let rows = app.core.db.system(service::db::Reason::Operations).query(sql, Vec::new()).await.unwrap();
    assert_eq!(rows[0].try_get::<i64>("", "fence").unwrap(), 1 << 32);
}

macro_rules! on_each_database {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Backend::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Backend::Postgres).await;
            })+
        }
    };
}

on_each_database! {
    a_restored_copy_waits_for_its_confirmation
    a_former_executor_changes_nothing
    batches_and_workers_wait_as_well
}
