//! Proof: an executor that was paused beyond its lease changes nothing when it wakes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use entity::money::Nanos;
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::task_run::{self, RunReason, RunStatus};
use entity::tasks::{run_event, run_step};
use sea_orm::{EntityTrait as _, QueryOrder as _};
use serde_json::json;
use service::clock::Clock;
use service::core::{Core, World};
use service::db::Reason;
use service::engine::transitions::{self, Change, HeldWrite, Queue, Seen};
use service::engine::{
    Attempt, Awaited, EngineSettings, Event, Executor, LeaseLost, Outcome, Progress, Step,
};
use service::ids::Ids;
use service::runtime::models::Usage;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::support::{App, Backend, eventually};

const LEASE: Duration = Duration::from_secs(60);
/// Held at once by one node, which keeps two slots for other tenants.
const RUNS: usize = 30;
/// Stale writes that must have been tried on each database.
const TRIED: usize = 450;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    wake_too_late(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    wake_too_late(Backend::Postgres).await;
}

/// Says which run it was given, then does nothing until it is woken; then it writes as if nothing had
/// happened.
struct Paused {
    given: mpsc::UnboundedSender<task_run::Model>,
    woken: watch::Receiver<bool>,
    refused: mpsc::UnboundedSender<()>,
}

#[async_trait]
impl Executor for Paused {
    async fn execute(&self, attempt: &dyn Attempt) -> Outcome {
        self.given.send(attempt.run().clone()).unwrap();
        let _ = self.woken.clone().wait_for(|woken| *woken).await;
        assert_eq!(attempt.record(progress()).await, Err(LeaseLost));
        self.refused.send(()).unwrap();
        Outcome::Completed { reason: RunReason::Output, output: json!("stale"), progress: progress() }
    }
}

/// The engine has a manual clock and never looks at it by itself: no sweep, no heartbeat.
fn still(config: &mut service::config::Config) {
    let never = Duration::from_secs(86_400);
    config.engine = EngineSettings { concurrency: RUNS + 2, lease: LEASE, heartbeat: never, sweep: never };
}

async fn wake_too_late(backend: Backend) {
    let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
    let world = World { ids: Ids::random(clock.clone()), clock: clock.clone() };
    let (given, mut claimed) = mpsc::unbounded_channel();
    let (refused, mut refusals) = mpsc::unbounded_channel();
    let (wake, woken) = watch::channel(false);
    let executor = Arc::new(Paused { given, woken, refused });
    let app = App::start_executing(backend, world, still, executor).await;
    let tool = app.acme.builtin("echo", "builtin/echo").await;
    let definition = app.acme.definition("echo", json!({ "toolId": tool })).await;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        app.acme.owner.post("/v1/task-runs", json!({ "definitionId": definition })).await.expect(201);
        runs.push(claimed.recv().await.unwrap());
    }
    let mut tried = 0;

    // By time alone: nobody has swept, and the rows still name this node.
    clock.advance(LEASE);
    tried += write_all(&app.core, &runs).await;

    // After another node took the runs, under leases that are good.
    let other = Uuid::from_u128(7);
    take_over(&app.core, other).await;
    tried += write_all(&app.core, &runs).await;

    // The executors themselves, which wake and end their attempts.
    let before = rows(&app.core).await;
    wake.send_replace(true);
    eventually("the attempts end", async || app.core.engine.executing() == 0).await;
    // The engine itself ends the attempts of executors that slept on after they were told to stop.
    while refusals.try_recv().is_ok() {
        tried += 2;
    }
    assert_eq!(rows(&app.core).await, before);
    assert!(tried >= TRIED, "{tried}");
    println!("{tried} stale writes were tried, none was accepted");

    // The other node's own write is accepted: what refused the rest is not a broken test.
    let write = held(&runs[0], runs[0].fence + 1, None);
    app.core.engine.committer().write(write, Awaited::default()).await.unwrap();
    assert_ne!(rows(&app.core).await, before);
}

/// Every kind of write for every run, all refused, and not a byte of any row is different afterwards.
async fn write_all(core: &Core, runs: &[task_run::Model]) -> usize {
    let before = rows(core).await;
    let mut tried = 0;
    for run in runs {
        for change in changes(core) {
            let write = held(run, run.fence, change);
            assert!(core.engine.committer().write(write, Awaited::default()).await.is_err());
            tried += 1;
        }
        let tx = core.db.system(Reason::Engine).begin().await.unwrap();
        let (owner, now) = (run.lease_owner.unwrap(), core.clock.now());
        let lease = [(run.tenant_id, run.id, run.fence)];
        let kept = transitions::renew(&tx, owner, &lease, now, now + TimeDelta::hours(1)).await.unwrap();
        assert!(kept.is_empty());
        tx.commit().await.unwrap();
        tried += 1;
    }
    assert_eq!(rows(core).await, before);
    tried
}

/// Only progress, and every way to end an attempt.
fn changes(core: &Core) -> Vec<Option<Change>> {
    let to = |status, reason| {
        Some(Change {
            to: Some((status, reason)),
            output: Some(json!("stale")),
            error: Some(json!({ "code": "stale" })),
            available: (status == RunStatus::Pending).then(|| (core.clock.now(), 0)),
            wait_until: (status == RunStatus::Waiting).then(|| core.clock.after(LEASE)),
            event_data: json!({}),
            ..Change::default()
        })
    };
    vec![
        None,
        to(RunStatus::Completed, RunReason::Output),
        to(RunStatus::Failed, RunReason::NonRetryable),
        to(RunStatus::Pending, RunReason::RetryBackoff),
        to(RunStatus::Pending, RunReason::Queued),
        to(RunStatus::Waiting, RunReason::Approval),
        to(RunStatus::Cancelled, RunReason::ByUser),
    ]
}

fn held(run: &task_run::Model, fence: i64, change: Option<Change>) -> HeldWrite {
    let (tenant, attempt) = (run.tenant_id, run.attempt);
    HeldWrite {
        tenant,
        run: run.id,
        attempt,
        fence,
        parent: run.parent_run_id,
        has_children: run.children > 0,
        progress: progress(),
        change,
        seen: Seen::default(),
    }
}

/// A paid step and an event.
fn progress() -> Progress {
    let step = Step {
        number: 1,
        kind: StepKind::Tool,
        status: StepStatus::Completed,
        turn: 1,
        name: "stale".to_owned(),
        tool_id: None,
        call_id: None,
        effect_key: None,
        request: json!({}),
        response: Some(json!({ "output": "stale" })),
        stop_reason: None,
        usage: Usage { input: 1, output: 1, ..Usage::default() },
        cost: Nanos(1),
        unpriced: false,
        latency: Duration::ZERO,
    };
    Progress { steps: vec![step], events: vec![Event { kind: "test.stale", data: json!({}) }] }
}

/// What another node does: its sweep finds the lost leases, and it claims.
async fn take_over(core: &Core, other: Uuid) {
    let now = core.clock.now();
    let tx = core.db.system(Reason::Engine).begin().await.unwrap();
    let lost = transitions::expire_leases(&tx, now).await.unwrap();
    assert_eq!(lost.len(), RUNS);
    let queue = Queue::of_nodes(lost[0].tenant_id, lost[0].lane_id, "");
    let most = u64::try_from(RUNS).unwrap();
    let taken = transitions::claim_queue(&tx, queue, most, other, now, LEASE).await.unwrap();
    assert_eq!(taken.len(), RUNS);
    tx.commit().await.unwrap();
}

/// Everything that is stored of all runs.
#[expect(clippy::disallowed_methods, reason = "rows are looked at beneath the product")]
async fn rows(core: &Core) -> String {
    let db = core.db.system(Reason::Operations);
    let (runs, steps, events) =
        (task_run::Entity::find(), run_step::Entity::find(), run_event::Entity::find());
    let runs = runs.order_by_asc(task_run::Column::Id).all(db.connection()).await.unwrap();
    let steps = steps.order_by_asc(run_step::Column::RunId).all(db.connection()).await.unwrap();
    let events = events.order_by_asc(run_event::Column::RunId).order_by_asc(run_event::Column::Seq);
    let events = events.all(db.connection()).await.unwrap();
    format!("{runs:#?}\n{steps:#?}\n{events:#?}")
}
