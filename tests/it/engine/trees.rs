//! Trees of runs: children start with their parent's wait and once, every end of a child is settled with its
//! parent, and nobody outlives who started them.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use entity::money::Nanos;
use entity::tasks::run_step::{StepKind, StepStatus};
use entity::tasks::task_run::{Model, RunReason, RunStatus};
use serde_json::json;
use service::db::Reason;
use service::engine::transitions::{self, Change, HeldWrite, Queue, Ripple, Seen, tree};
use service::engine::{Awaited, LeaseLost, Progress, Spawn, Step, Wake};
use service::runtime::models::Usage;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::stage::{Stage, Start};
use crate::support::App;

/// A stage with the group commit that runs are written through.
#[derive(Clone)]
struct Grove {
    app: Arc<App>,
    stage: Arc<Stage>,
}

/// How a child ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Complete,
    Fail,
    Cancel,
    CancelAgreed,
    CancelForced,
    LeaseLost,
    QueueExpiry,
}

const WAYS: [Way; 7] = [
    Way::Complete,
    Way::Fail,
    Way::Cancel,
    Way::CancelAgreed,
    Way::CancelForced,
    Way::LeaseLost,
    Way::QueueExpiry,
];

fn to(status: RunStatus, reason: RunReason) -> Change {
    Change { to: Some((status, reason)), event_data: json!({}), ..Change::default() }
}

fn paid(cost: i64, number: i32) -> Progress {
    let step = Step {
        number,
        kind: StepKind::Tool,
        status: StepStatus::Completed,
        turn: 1,
        name: "paid".to_owned(),
        tool_id: None,
        call_id: None,
        effect_key: None,
        request: json!({}),
        response: Some(json!({ "output": null })),
        stop_reason: None,
        usage: Usage::default(),
        cost: Nanos(cost),
        unpriced: false,
        latency: Duration::ZERO,
    };
    Progress { steps: vec![step], events: Vec::new() }
}

impl Grove {
    async fn of(app: App) -> Self {
        let stage = Arc::new(Stage::of(&app).await);
        Self { app: Arc::new(app), stage }
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.app.core.clock.now()
    }

    async fn root(&self) -> Model {
        let id = self.app.core.ids.next();
        self.stage.run(id, Start::Running).await;
        self.stage.look(id).await
    }

    fn child(&self, parent: &Model, key: &str) -> Model {
        let id = self.app.core.ids.next();
        Model {
            parent_run_id: Some(parent.id),
            root_run_id: Some(parent.root_run_id.unwrap_or(parent.id)),
            depth: parent.depth + 1,
            child_key: Some(key.to_owned()),
            ..self.stage.row(id)
        }
    }

    async fn write(&self, run: &Model, progress: Progress, change: Change) -> Result<RunStatus, LeaseLost> {
        let write = HeldWrite {
            tenant: run.tenant_id,
            run: run.id,
            attempt: run.attempt,
            fence: run.fence,
            parent: run.parent_run_id,
            has_children: run.children > 0,
            progress,
            change: Some(change),
            seen: Seen::default(),
        };
        let written = self.app.core.engine.committer().write(write, Awaited::default()).await;
        written.map(|written| written.status)
    }

    /// The run ends its attempt with these children; the answer is what is stored under their keys.
    async fn spawn(&self, parent: &Model, keys: &[&str], wake: Wake) -> Vec<Model> {
        self.delegate(parent, keys, wake).await.unwrap();
        self.children(parent.id).await
    }

    async fn delegate(&self, parent: &Model, keys: &[&str], wake: Wake) -> Result<RunStatus, LeaseLost> {
        let children = keys.iter().map(|key| self.child(parent, key)).collect();
        let wait_until = Some(self.now() + TimeDelta::minutes(15));
        let change = Change {
            spawn: Some(Spawn { children, wake }),
            released: true,
            wait_until,
            ..to(RunStatus::Waiting, RunReason::Children)
        };
        self.write(parent, Progress::default(), change).await
    }

    async fn children(&self, parent: Uuid) -> Vec<Model> {
        let sql = "SELECT id FROM task_run WHERE parent_run_id = $1 ORDER BY child_key";
        let rows = self.stage.db.system(Reason::Engine).query(sql, vec![parent.into()]).await.unwrap();
        let mut found = Vec::new();
        for row in rows {
            found.push(self.stage.look(row.try_get("", "id").unwrap()).await);
        }
        found
    }

    async fn claim(&self, run: &Model) -> Model {
        let tx = self.stage.db.system(Reason::Engine).begin().await.unwrap();
        let (now, lease) = (self.now(), Duration::from_secs(60));
        let queue = Queue::of_nodes(run.tenant_id, run.lane_id, "");
        let owner = Uuid::from_u128(1);
        let claimed = transitions::claim_queue(&tx, queue, 1, owner, now, lease).await.unwrap();
        tx.commit().await.unwrap();
        claimed.into_iter().next().expect("nothing was claimed")
    }

    async fn cancel(&self, run: Uuid) {
        let tx = self.stage.db.system(Reason::Engine).begin().await.unwrap();
        let now = self.now();
        transitions::cancel(&tx, self.stage.tenant, run, RunReason::ByUser, "test", now).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Ends a PENDING child, with this cost where it gets to run.
    async fn end(&self, child: &Model, way: Way, cost: i64) {
        let now = self.now();
        if way == Way::Cancel {
            return self.cancel(child.id).await;
        }
        if way == Way::QueueExpiry {
            let tx = self.stage.db.system(Reason::Engine).begin().await.unwrap();
            transitions::expire_queue(&tx, now + TimeDelta::days(2)).await.unwrap();
            return tx.commit().await.unwrap();
        }
        let run = self.claim(child).await;
        match way {
            Way::Complete => {
                let done = to(RunStatus::Completed, RunReason::Output);
                self.write(&run, paid(cost, run.step_count + 1), done).await.unwrap();
            }
            Way::Fail => {
                let failed = to(RunStatus::Failed, RunReason::Error);
                self.write(&run, paid(cost, run.step_count + 1), failed).await.unwrap();
            }
            Way::CancelAgreed => {
                self.cancel(child.id).await;
                let cancelled = to(RunStatus::Cancelled, RunReason::ByUser);
                self.write(&run, paid(cost, run.step_count + 1), cancelled).await.unwrap();
            }
            Way::CancelForced => {
                self.cancel(child.id).await;
                let tx = self.stage.db.system(Reason::Engine).begin().await.unwrap();
                let late = now + TimeDelta::minutes(1);
                transitions::force_cancels(&tx, late, late).await.unwrap();
                tx.commit().await.unwrap();
            }
            Way::LeaseLost => {
                for lost in 1..=transitions::MOST_LOST {
                    let tx = self.stage.db.system(Reason::Engine).begin().await.unwrap();
                    transitions::expire_leases(&tx, now + TimeDelta::minutes(5)).await.unwrap();
                    tx.commit().await.unwrap();
                    if lost < transitions::MOST_LOST {
                        self.claim(child).await;
                    }
                }
            }
            Way::Cancel | Way::QueueExpiry => {}
        }
    }

    /// What the loops of a node would do about trees, until nothing is left.
    async fn settle(&self) {
        for _ in 0..100 {
            let tx = self.stage.db.system(Reason::Engine).begin().await.unwrap();
            let Ripple { changed, again } = tree::settle_due(&tx, self.now()).await.unwrap();
            tx.commit().await.unwrap();
            if changed.is_empty() && !again {
                return;
            }
        }
        panic!("a tree that never settles");
    }

    /// The invariants of a whole tree, whatever happened to it.
    async fn check(&self, root: Uuid) -> Nanos {
        let run = self.stage.look(root).await;
        let mut sum = Nanos::ZERO;
        let children = self.children(root).await;
        for child in &children {
            let cost = Box::pin(self.check(child.id)).await;
            let ended = child.status.is_terminal();
            sum += if ended { cost } else { child.settled_nanos };
            let told = child.reason == RunReason::CancelRequested;
            assert!(!run.status.is_terminal() || ended || told, "{child:?} outlives {run:?}");
            assert!(ended == child.settled || !ended, "{child:?} is not settled with {run:?}");
        }
        let live = children.iter().any(|child| !child.status.is_terminal());
        if run.status == RunStatus::Waiting && run.reason == RunReason::Children {
            assert!(live, "{run:?} waits for nobody");
        }
        assert_eq!(run.child_cost_nanos, sum, "{run:?}");
        run.cost_nanos + run.child_cost_nanos
    }
}

on_both! {
    idle;

    async fn children_start_with_the_wait_and_once(app: App) {
        let grove = Grove::of(app).await;
        let parent = grove.root().await;
        let children = grove.spawn(&parent, &["a", "b"], Wake::ALL).await;
        assert_eq!(children.len(), 2);
        let waiting = grove.stage.look(parent.id).await;
        assert_eq!((waiting.status, waiting.reason), (RunStatus::Waiting, RunReason::Children));
        assert_eq!((waiting.children, waiting.attempt, waiting.lease_owner), (2, 0, None));
        for child in &children {
            assert_eq!(child.status, RunStatus::Pending);
            assert_eq!((child.parent_run_id, child.root_run_id, child.depth), (Some(parent.id), Some(parent.id), 1));
            assert_eq!(grove.stage.events(child.id).await, ["run.created"]);
        }
        grove.end(&children[0], Way::Complete, 5).await;
        assert_eq!(grove.stage.look(parent.id).await.child_cost_nanos, Nanos(5));
        assert_eq!(grove.stage.look(parent.id).await.status, RunStatus::Waiting);
        grove.end(&children[1], Way::Complete, 7).await;
        let woken = grove.stage.look(parent.id).await;
        assert_eq!((woken.status, woken.reason, woken.failures), (RunStatus::Pending, RunReason::Queued, 0));
        assert_eq!(woken.child_cost_nanos, Nanos(12));
        // The next attempt asks for the same children: they are there, and have ended.
        let again = grove.claim(&parent).await;
        assert_eq!((again.attempt, again.children), (1, 2));
        let same = grove.spawn(&again, &["a", "b"], Wake::ALL).await;
        assert_eq!(same.iter().map(|run| run.id).collect::<Vec<_>>(), children.iter().map(|run| run.id).collect::<Vec<_>>());
        assert_eq!(grove.stage.look(parent.id).await.status, RunStatus::Pending, "it waits for nobody");
        grove.check(parent.id).await;
        assert_eq!(
            grove.stage.events(parent.id).await,
            ["run.created", "run.started", "run.waiting", "run.resumed", "run.started", "run.waiting", "run.resumed"],
        );
    }

    async fn every_end_of_a_child_is_settled_and_wakes(app: App) {
        let grove = Grove::of(app).await;
        for way in WAYS {
            let parent = grove.root().await;
            let children = grove.spawn(&parent, &["a"], Wake::ALL).await;
            grove.end(&children[0], way, 3).await;
            let (woken, child) = (grove.stage.look(parent.id).await, grove.stage.look(children[0].id).await);
            assert!(child.status.is_terminal() && child.settled, "{way:?}: {child:?}");
            assert_eq!(woken.status, RunStatus::Pending, "{way:?}");
            assert_eq!(woken.child_cost_nanos, child.cost_nanos, "{way:?}");
            grove.check(parent.id).await;
        }
    }

    async fn a_parent_wakes_when_it_asked_to(app: App) {
        let grove = Grove::of(app).await;
        let keys = ["a", "b", "c"];
        for (wake, ways, woken_after) in [
            (Wake::ALL, [Way::Fail, Way::Complete, Way::Complete], 3),
            (Wake { ended: Some(2), failed: None }, [Way::Complete, Way::Fail, Way::Complete], 2),
            (Wake { ended: None, failed: Some(1) }, [Way::Complete, Way::Fail, Way::Complete], 2),
            (Wake { ended: None, failed: Some(1) }, [Way::Cancel, Way::Complete, Way::Complete], 1),
        ] {
            let parent = grove.root().await;
            let children = grove.spawn(&parent, &keys, wake).await;
            for (count, (child, way)) in (1..).zip(children.iter().zip(ways)) {
                grove.end(child, way, 1).await;
                let status = grove.stage.look(parent.id).await.status;
                assert_eq!(status == RunStatus::Pending, count >= woken_after, "{wake:?} {count}");
            }
        }
    }

    async fn costs_go_up_to_the_root(app: App) {
        let grove = Grove::of(app).await;
        let root = grove.root().await;
        let middle = grove.spawn(&root, &["m"], Wake::ALL).await.remove(0);
        let running = grove.claim(&middle).await;
        let leaves = grove.spawn(&running, &["x", "y"], Wake::ALL).await;
        assert_eq!(leaves[0].root_run_id, Some(root.id));
        grove.end(&leaves[0], Way::Complete, 10).await;
        let late = grove.claim(&leaves[1]).await;
        // The root is cancelled while a leaf runs: it is told, and what it cost still goes all the way up.
        grove.cancel(root.id).await;
        let ended = |run: Model| (run.status, run.reason);
        assert_eq!(ended(grove.stage.look(root.id).await), (RunStatus::Cancelled, RunReason::ByUser));
        assert_eq!(ended(grove.stage.look(middle.id).await), (RunStatus::Cancelled, RunReason::ByParent));
        assert_eq!(ended(grove.stage.look(late.id).await), (RunStatus::Running, RunReason::CancelRequested));
        assert_eq!(grove.stage.look(root.id).await.child_cost_nanos, Nanos(10));
        grove.write(&late, paid(4, 1), to(RunStatus::Cancelled, RunReason::ByUser)).await.unwrap();
        assert_eq!(ended(grove.stage.look(late.id).await), (RunStatus::Cancelled, RunReason::ByParent));
        assert_eq!(grove.stage.look(middle.id).await.child_cost_nanos, Nanos(14));
        assert_eq!(grove.stage.look(root.id).await.child_cost_nanos, Nanos(14));
        grove.check(root.id).await;
    }

    async fn whoever_ends_takes_the_tree_along(app: App) {
        let grove = Grove::of(app).await;
        for end in [RunStatus::Failed, RunStatus::Completed, RunStatus::Cancelled] {
            let root = grove.root().await;
            let children = grove.spawn(&root, &["a", "b", "c"], Wake { ended: Some(1), failed: None }).await;
            let below = grove.claim(&children[0]).await;
            let leaf = grove.spawn(&below, &["z"], Wake::ALL).await.remove(0);
            grove.end(&children[1], Way::Complete, 2).await;
            let again = grove.claim(&root).await;
            let reason = if end == RunStatus::Cancelled { RunReason::ByUser } else { RunReason::Error };
            grove.write(&again, Progress::default(), to(end, reason)).await.unwrap();
            for run in [children[0].id, children[2].id, leaf.id] {
                let run = grove.stage.look(run).await;
                assert_eq!((run.status, run.reason), (RunStatus::Cancelled, RunReason::ByParent), "{end:?}");
            }
            assert_eq!(grove.stage.look(children[1].id).await.status, RunStatus::Completed);
            assert_eq!(grove.check(root.id).await, Nanos(2));
        }
    }

    async fn what_was_passed_over_is_found(app: App) {
        let grove = Grove::of(app).await;
        let parent = grove.root().await;
        let children = grove.spawn(&parent, &["a", "b"], Wake { ended: Some(1), failed: None }).await;
        // Ends that nobody settled, as somebody else's statement might make them.
        let tx = grove.stage.db.system(Reason::Engine).begin().await.unwrap();
        let sql = "UPDATE task_run SET status = 'FAILED', reason = 'ERROR', completed_at = $2, cost_nanos = 9 \
                   WHERE id = $1";
        tx.execute(sql, vec![children[0].id.into(), grove.stage.now.into()]).await.unwrap();
        tx.commit().await.unwrap();
        grove.settle().await;
        assert_eq!(grove.stage.look(parent.id).await.status, RunStatus::Pending);
        let tx = grove.stage.db.system(Reason::Engine).begin().await.unwrap();
        tx.execute(sql, vec![parent.id.into(), grove.stage.now.into()]).await.unwrap();
        tx.commit().await.unwrap();
        grove.settle().await;
        assert_eq!(grove.stage.look(children[1].id).await.reason, RunReason::ByParent);
        assert_eq!(grove.check(parent.id).await, Nanos(18));
    }

    async fn a_retried_tree_starts_what_did_not_succeed(app: App) {
        let grove = Grove::of(app).await;
        let root = grove.root().await;
        let children = grove.spawn(&root, &["a", "b"], Wake::ALL).await;
        grove.end(&children[0], Way::Complete, 2).await;
        grove.cancel(root.id).await;
        let retry = async |run: Uuid| {
            let tx = grove.stage.db.system(Reason::Engine).begin().await.unwrap();
            let run =
                transitions::retry(&tx, grove.stage.tenant, run, "test", grove.stage.now).await.unwrap();
            tx.commit().await.unwrap();
            run
        };
        assert_eq!(retry(children[1].id).await, None, "a child is retried with its parent");
        assert!(retry(root.id).await.is_some());
        assert_eq!(grove.stage.look(children[0].id).await.status, RunStatus::Completed);
        assert_eq!(grove.stage.look(children[1].id).await.status, RunStatus::Pending);
        let again = grove.claim(&root).await;
        grove.spawn(&again, &["a", "b"], Wake::ALL).await;
        grove.end(&grove.stage.look(children[1].id).await, Way::Complete, 3).await;
        assert_eq!(grove.stage.look(root.id).await.status, RunStatus::Pending);
        assert_eq!(grove.check(root.id).await, Nanos(5));
    }

    async fn at_once_in_any_order(app: App) {
        let grove = Grove::of(app).await;
        // Child end, parent's end, parent's wait, cancels of both: pairs at once on connections of their own.
        #[derive(Clone, Copy, Debug)]
        enum Act { EndA, EndB, FailB, CancelA, CancelRoot, CancelMiddle, WaitRoot, WaitMiddle, EndRoot, Settle }
        use Act::*;
        let acts = [EndA, EndB, FailB, CancelA, CancelRoot, CancelMiddle, WaitRoot, WaitMiddle, EndRoot, Settle];
        for (index, first) in acts.into_iter().enumerate() {
            for second in acts.into_iter().skip(index + 1) {
                let root = grove.root().await;
                let wake = Wake { ended: Some(1), failed: Some(1) };
                let started = grove.spawn(&root, &["m", "b", "c"], wake).await;
                let middle = grove.claim(&started[2]).await;
                let leaf = grove.spawn(&middle, &["a", "d"], wake).await;
                let (a, b) = (grove.claim(&leaf[0]).await, grove.claim(&started[0]).await);
                // Root and middle run again: a child of each has ended.
                grove.end(&started[1], Way::Complete, 1).await;
                grove.end(&leaf[1], Way::Complete, 1).await;
                let (root, middle) = (grove.claim(&root).await, grove.claim(&middle).await);
                let barrier = Arc::new(Barrier::new(2));
                let tasks = [first, second].map(|act| {
                    let (grove, barrier) = (grove.clone(), barrier.clone());
                    let (root, middle, a, b) = (root.clone(), middle.clone(), a.clone(), b.clone());
                    tokio::spawn(async move {
                        barrier.wait().await;
                        let more = Wake { ended: Some(2), failed: None };
                        let done = || to(RunStatus::Completed, RunReason::Output);
                        let failed = || to(RunStatus::Failed, RunReason::Error);
                        // A write whose run was ended meanwhile is refused.
                        let _ = match act {
                            EndA => grove.write(&a, paid(3, 1), done()).await,
                            EndB => grove.write(&b, paid(4, 1), done()).await,
                            FailB => grove.write(&b, paid(4, 1), failed()).await,
                            EndRoot => grove.write(&root, paid(5, 1), failed()).await,
                            CancelA => { grove.cancel(a.id).await; Ok(RunStatus::Running) }
                            CancelRoot => { grove.cancel(root.id).await; Ok(RunStatus::Running) }
                            CancelMiddle => { grove.cancel(middle.id).await; Ok(RunStatus::Running) }
                            WaitRoot => grove.delegate(&root, &["e"], more).await,
                            WaitMiddle => grove.delegate(&middle, &["f"], more).await,
                            Settle => { grove.settle().await; Ok(RunStatus::Running) }
                        };
                    })
                });
                for task in tasks {
                    task.await.unwrap();
                }
                grove.settle().await;
                grove.check(root.id).await;
                let [root, middle] = [grove.stage.look(root.id).await, grove.stage.look(middle.id).await];
                if matches!((first, second), (EndB, WaitRoot)) {
                    assert_eq!(root.status, RunStatus::Pending, "a lost wake-up");
                }
                if matches!((first, second), (EndA, WaitMiddle)) {
                    assert_eq!(middle.status, RunStatus::Pending, "a lost wake-up");
                }
            }
        }
    }
}
