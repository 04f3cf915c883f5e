//! A node that claims one run at a time takes the tenants in turn, and inside a tenant the runs in order.

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

async fn in_turn(backend: Backend) {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let (told, mut started) = mpsc::unbounded_channel();
    let one = |config: &mut service::config::Config| config.engine.concurrency = 1;
    let app = App::start_executing(backend, world, one, Arc::new(Told(told))).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    in_turn(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    in_turn(Backend::Postgres).await;
}
