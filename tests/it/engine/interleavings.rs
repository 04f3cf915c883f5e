//! Every pair of transitions, from every state, at once on two connections: the outcome is that of one
//! of the two orders, and every invariant holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use entity::tasks::task_run::{Model, RunReason, RunStatus};
use tokio::sync::Barrier;
use uuid::Uuid;

use super::stage::{MOVES, Move, STARTS, Stage, Start};

/// What two orders are compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    status: RunStatus,
    reason: RunReason,
    attempt: i32,
    fence: i64,
    failures: i32,
    lost: i32,
    events: Vec<String>,
}

async fn seen(stage: &Stage, id: Uuid) -> Seen {
    let run = stage.look(id).await;
    invariants(&run);
    let events = stage.events(id).await;
    assert_eq!(i64::try_from(events.len()).unwrap(), run.event_seq);
    let count = |kind: &str| events.iter().filter(|event| *event == kind).count();
    let attempts = count("run.started") - count("run.released");
    assert_eq!(
        usize::try_from(run.attempt).unwrap(),
        attempts,
        "only what is given back is no attempt: {run:?}"
    );
    let Model { status, reason, attempt, fence, failures, lost_count: lost, .. } = run;
    Seen { status, reason, attempt, fence, failures, lost, events }
}

fn invariants(run: &Model) {
    let running = run.status == RunStatus::Running;
    assert_eq!(running, run.lease_owner.is_some(), "{run:?}");
    assert_eq!(running, run.lease_expires_at.is_some(), "{run:?}");
    assert_eq!(run.status.is_terminal(), run.completed_at.is_some(), "{run:?}");
    assert_eq!(run.status == RunStatus::Waiting, run.waiting_since.is_some(), "{run:?}");
    if run.status == RunStatus::Waiting {
        assert!(run.wait_until.is_some(), "a waiting run has a timer: {run:?}");
    }
}

/// The two orders one after the other, then both at once.
async fn check(stage: &Arc<Stage>, start: Start, a: Move, b: Move, id: &mut u128) {
    let mut fresh = || {
        *id += 1;
        Uuid::from_u128(*id)
    };
    let (ab, ba, both) = (fresh(), fresh(), fresh());
    for (run, first, second) in [(ab, a, b), (ba, b, a)] {
        stage.run(run, start).await;
        stage.apply(run, first).await;
        stage.apply(run, second).await;
    }
    let orders = [seen(stage, ab).await, seen(stage, ba).await];

    stage.run(both, start).await;
    let barrier = Arc::new(Barrier::new(2));
    let tasks = [a, b].map(|step| {
        let (stage, barrier) = (stage.clone(), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            stage.apply(both, step).await;
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    let mut outcome = seen(stage, both).await;
    // What looks for work passes over a row that another transaction holds: its next look finds it.
    for step in [a, b].into_iter().filter(|step| step.passes_over()) {
        if !orders.contains(&outcome) {
            stage.apply(both, step).await;
            outcome = seen(stage, both).await;
        }
    }
    assert!(orders.contains(&outcome), "{start:?} {a:?} {b:?}: {outcome:?} is neither of {orders:?}");
}

on_both! {
    idle;

    async fn two_transitions_at_once_are_two_in_a_row(app: App) {
        let stage = Arc::new(Stage::of(&app).await);
        let mut id = 1 << 64;
        for start in STARTS {
            for (index, a) in MOVES.into_iter().enumerate() {
                for b in MOVES.into_iter().skip(index) {
                    check(&stage, start, a, b, &mut id).await;
                }
            }
        }
    }

    async fn a_terminal_status_is_final_but_for_a_retry(app: App) {
        let stage = Stage::of(&app).await;
        let mut id = 1 << 64;
        for start in [Start::Completed, Start::Failed, Start::Cancelled] {
            for step in MOVES.into_iter().filter(|step| *step != Move::Retry || start == Start::Completed) {
                id += 1;
                let run = Uuid::from_u128(id);
                stage.run(run, start).await;
                let before = seen(&stage, run).await;
                stage.apply(run, step).await;
                assert_eq!(seen(&stage, run).await, before, "{start:?} {step:?}");
            }
        }
    }

    async fn the_table_of_transitions(app: App) {
        let stage = Stage::of(&app).await;
        let mut table = BTreeMap::new();
        let mut id = 1 << 64;
        for start in STARTS {
            for step in MOVES {
                id += 1;
                let run = Uuid::from_u128(id);
                stage.run(run, start).await;
                let before = seen(&stage, run).await;
                stage.apply(run, step).await;
                let after = seen(&stage, run).await;
                if after != before {
                    table.insert(format!("{start:?} {step:?}"), format!("{:?} {:?}", after.status, after.reason));
                }
            }
        }
        let table: Vec<_> = table.into_iter().map(|(from, to)| format!("{from} → {to}")).collect();
        assert_eq!(table.join("\n"), TABLE.trim());
    }
}

const TABLE: &str = "
CancelRequested Complete → Completed Output
CancelRequested FailFinal → Failed NonRetryable
CancelRequested FailRetryable → Cancelled ByUser
CancelRequested ForceCancels → Cancelled ByUser
CancelRequested Progress → Running CancelRequested
CancelRequested Release → Cancelled ByUser
CancelRequested Suspend → Cancelled ByUser
Cancelled Retry → Pending Queued
Failed Retry → Pending Queued
LeaseExpired Cancel → Running CancelRequested
LeaseExpired ExpireLeases → Pending LeaseLost
Pending Cancel → Cancelled ByUser
Pending Claim → Running Executing
Pending ExpireQueue → Failed Expired
Running Cancel → Running CancelRequested
Running Complete → Completed Output
Running FailFinal → Failed NonRetryable
Running FailRetryable → Pending RetryBackoff
Running Progress → Running Executing
Running Release → Pending Queued
Running Suspend → Waiting Approval
Waiting Cancel → Cancelled ByUser
Waiting ExpireWaits → Pending Queued
Waiting Satisfy → Pending Queued
";
