//! Who may start, and when: `maxConcurrent`, pauses, fairness, and keys that make one run of many requests.

use std::sync::Arc;

use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use service::core::{Core, World};
use service::db::Reason;
use service::engine::EngineSettings;
use service::runtime::Runtime;

use crate::support::{App, Backend, Tenant, eventually};

async fn status_of(tenant: &Tenant, id: &Value) -> Value {
    tenant.owner.get(&format!("/v1/task-runs/{}", id.as_str().unwrap())).await.expect(200)
}

async fn number(app: &App, sql: &str) -> i64 {
    let rows = app.core.db.system(Reason::Operations).query(sql, Vec::new()).await.unwrap();
    rows[0].try_get("", "number").unwrap()
}

async fn create(tenant: &Tenant, body: &Value, count: usize) -> Vec<Value> {
    let made = (0..count).map(|_| tenant.owner.post("/v1/task-runs", body.clone()));
    join_all(made).await.into_iter().map(|answer| answer.expect(201)["id"].clone()).collect()
}

const LIVE: &str = "SELECT COUNT(*) AS number FROM task_run WHERE status IN ('PENDING', 'RUNNING')";
const RUNNING_OF_KEY: &str = "SELECT COALESCE(MAX(running), 0) AS number FROM \
     (SELECT COUNT(*) AS running FROM task_run WHERE status = 'RUNNING' GROUP BY concurrency_key) q";
const RUNNING: &str = "SELECT COUNT(*) AS number FROM task_run WHERE status = 'RUNNING'";

on_both! {
    async fn max_concurrent_is_exact_over_nodes(app: App) {
        let second = match app.backend {
            Backend::Postgres => Some(second_node(&app).await),
            Backend::Sqlite => None,
        };
        let agent = app.acme.agent("narrow", json!({ "model": "mock/script", "maxConcurrent": 3 })).await;
        let input = json!({ "script": [{ "text": "done", "delayMs": 20 }] });
        create(&app.acme, &json!({ "agentId": agent, "input": input }), 40).await;
        let most = std::sync::atomic::AtomicI64::new(0);
        eventually("all have ended", async || {
            most.fetch_max(number(&app, RUNNING).await, std::sync::atomic::Ordering::SeqCst);
            number(&app, LIVE).await == 0
        })
        .await;
        let most = most.into_inner();
        assert!((2..=3).contains(&most), "{most} at once");
        drop(second);
    }

    async fn limits_of_agents_and_keys_are_exact_over_three_nodes(app: App) {
        let more = match app.backend {
            Backend::Postgres => vec![second_node(&app).await, second_node(&app).await],
            Backend::Sqlite => Vec::new(),
        };
        let agent = app.acme.agent("narrow", json!({ "model": "mock/script", "maxConcurrent": 5 })).await;
        let concurrency = json!({ "key": "{{ input.customer }}", "limit": 2 });
        let config = json!({ "concurrency": concurrency });
        let definition = app.acme.definition("narrow", json!({ "agentId": agent, "config": config })).await;
        let made = (0..60).map(|number| {
            let input = json!({ "script": [{ "text": "done", "delayMs": 20 }], "customer": number % 4 });
            app.acme.owner.post("/v1/task-runs", json!({ "definitionId": definition, "input": input }))
        });
        join_all(made).await.into_iter().for_each(|answer| drop(answer.expect(201)));
        let (most, most_of_key) = (std::sync::atomic::AtomicI64::new(0), std::sync::atomic::AtomicI64::new(0));
        eventually("all have ended", async || {
            most.fetch_max(number(&app, RUNNING).await, std::sync::atomic::Ordering::SeqCst);
            most_of_key.fetch_max(number(&app, RUNNING_OF_KEY).await, std::sync::atomic::Ordering::SeqCst);
            number(&app, LIVE).await == 0
        })
        .await;
        let (most, most_of_key) = (most.into_inner(), most_of_key.into_inner());
        assert!((3..=5).contains(&most), "{most} of the agent at once");
        assert!((1..=2).contains(&most_of_key), "{most_of_key} of a key at once");
        drop(more);
    }

    async fn a_paused_agent_starts_nothing(app: App) {
        let agent = app.acme.agent("paused", json!({})).await;
        app.acme.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let body = json!({ "agentId": agent, "input": "hello" });
        let held = create(&app.acme, &body, 3).await;
        let other = app.acme.agent("other", json!({})).await;
        // The engine has looked at the queue: it ran what came later.
        for _ in 0..3 {
            assert_eq!(app.acme.run(json!({ "agentId": other, "input": "x" })).await["status"], "COMPLETED");
        }
        for id in &held {
            assert_eq!(status_of(&app.acme, id).await["status"], "PENDING");
        }
        app.acme.owner.post(&format!("/v1/agents/{agent}/resume"), json!({})).await.expect(200);
        eventually("they run", async || number(&app, LIVE).await == 0).await;
    }

    async fn a_key_makes_one_run_of_many_requests(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let body = json!({ "agentId": agent, "input": "once" });
        let same = (0..10).map(|_| app.acme.owner.post_once("/v1/task-runs", "key-1", body.clone()));
        let answers = join_all(same).await;
        let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert!(!made.is_empty());
        assert!(made.iter().all(|answer| answer.body["id"] == made[0].body["id"]));
        assert!(answers.iter().all(|answer| [201, 409].contains(&answer.status)), "{answers:?}");
        let again = app.acme.owner.post_once("/v1/task-runs", "key-1", body).await.expect(201);
        assert_eq!(again["id"], made[0].body["id"]);
        let other = json!({ "agentId": agent, "input": "twice" });
        app.acme.owner.post_once("/v1/task-runs", "key-1", other).await.problem(422);
        assert_eq!(number(&app, "SELECT COUNT(*) AS number FROM task_run").await, 1);
    }

    async fn a_live_run_with_the_same_dedupe_key_is_answered_instead(app: App) {
        let agent = app.acme.agent("paused", json!({})).await;
        app.acme.owner.post(&format!("/v1/agents/{agent}/pause"), json!({})).await.expect(200);
        let body = json!({ "agentId": agent, "input": "x", "dedupeKey": "day-1" });
        let ids = create(&app.acme, &body, 8).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        app.acme.owner.post(&format!("/v1/task-runs/{}/cancel", ids[0].as_str().unwrap()), json!({})).await.expect(200);
        assert_ne!(create(&app.acme, &body, 1).await[0], ids[0]);
    }

    async fn failures_are_retried_as_the_policy_says(app: App) {
        let agent = app.acme.agent("failing", json!({ "model": "mock/script" })).await;
        let retry = json!({ "maxAttempts": 2, "baseMs": 1, "capMs": 1 });
        let definition = app.acme.definition("failing", json!({ "agentId": agent, "config": { "retry": retry } })).await;
        let input = json!({ "script": [{ "error": { "kind": "OVERLOADED" } }] });
        let run = app.acme.run(json!({ "definitionId": definition, "input": input })).await;
        assert_eq!((&run["status"], &run["reason"], &run["attempt"]), (&json!("FAILED"), &json!("RETRIES_EXHAUSTED"), &json!(2)), "{run}");
    }

    async fn a_stream_goes_on_behind_the_last_event_and_ends_with_the_run(app: App) {
        let agent = app.acme.agent("echo", json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "hello" })).await;
        let path = format!("/v1/task-runs/{}/events", run["id"].as_str().unwrap());
        let stored = app.acme.owner.get(&path).await.expect(200)["data"].as_array().unwrap().len();
        for last in 0..=stored {
            let request = app.acme.owner.request("GET", &path).header("accept", "text/event-stream");
            let request = request.header("last-event-id", last.to_string());
            let text = app.acme.owner.send(request).await.text;
            let ids: Vec<usize> = text.lines().filter_map(|line| line.strip_prefix("id:")).map(|id| id.trim().parse().unwrap()).collect();
            assert_eq!(ids, (last + 1..=stored).collect::<Vec<_>>(), "{text}");
        }
    }
}

/// Another engine on the same database.
async fn second_node(app: &App) -> service::engine::Running {
    let mut config = app.core.config.clone();
    config.master_key = Some(SecretString::from(std::fs::read_to_string(config.master_key_file()).unwrap()));
    config.engine = EngineSettings { concurrency: 16, ..app.core.config.engine.clone() };
    let core = Core::open(config, World::real()).await.unwrap();
    core.engine.start(&core, Arc::new(Runtime)).await.unwrap()
}

mod fairness {
    use super::*;

    async fn check(backend: Backend) {
        let app = App::start_with(backend, World::real(), |config| config.engine.concurrency = 2).await;
        let greedy = app.acme.agent("greedy", json!({})).await;
        app.acme.owner.post(&format!("/v1/agents/{greedy}/pause"), json!({})).await.expect(200);
        let tool = app.rival.builtin("echo", "builtin/echo").await;
        let modest = app.rival.definition("echo", json!({ "toolId": tool })).await;
        // Queued while their agent is paused, so that there is a backlog on any machine.
        for _ in 0..20 {
            create(&app.acme, &json!({ "agentId": greedy, "input": "more" }), 20).await;
        }
        app.acme.owner.post(&format!("/v1/agents/{greedy}/resume"), json!({})).await.expect(200);
        let before = number(&app, LIVE).await;
        let run = app.rival.run(json!({ "definitionId": modest, "input": {} })).await;
        let sql = format!(
            "SELECT COUNT(*) AS number FROM task_run WHERE started_at > \
             (SELECT created_at FROM task_run WHERE id = {id}) AND started_at < (SELECT started_at FROM task_run WHERE id = {id})",
            id = match backend {
                Backend::Postgres => format!("'{}'", run["id"].as_str().unwrap()),
                Backend::Sqlite => format!("x'{}'", run["id"].as_str().unwrap().replace('-', "")),
            }
        );
        let ahead = number(&app, &sql).await;
        assert!(before > 50, "there was no backlog: {before}");
        assert!(ahead <= 16, "{ahead} of {before} queued runs of another tenant went first");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        check(Backend::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        check(Backend::Postgres).await;
    }
}
