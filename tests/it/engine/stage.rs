//! Runs put into any state, and every transition as a value that can be applied to one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::tasks::task_run::{self, RunReason, RunStatus};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;
use service::db::{Db, Reason};
use service::engine::transitions::{self, Born, Change, HeldWrite, NewRun, Queue, Resumed, Seen};
use service::engine::{Event, Progress};
use uuid::Uuid;

/// A database with one tenant and one tool, and ids that count.
pub struct Stage {
    pub db: Db,
    pub tenant: Uuid,
    pub tool: Uuid,
    pub now: DateTime<Utc>,
}

/// Where a run stands before the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Pending,
    Running,
    CancelRequested,
    LeaseExpired,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

pub const STARTS: [Start; 8] = [
    Start::Pending,
    Start::Running,
    Start::CancelRequested,
    Start::LeaseExpired,
    Start::Waiting,
    Start::Completed,
    Start::Failed,
    Start::Cancelled,
];

/// A transition of engine.md, or a write that needs a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Claim,
    Renew,
    Progress,
    Complete,
    FailRetryable,
    FailFinal,
    Suspend,
    Release,
    Cancel,
    Retry,
    Satisfy,
    ExpireLeases,
    ExpireQueue,
    ExpireWaits,
    ForceCancels,
}

pub const MOVES: [Move; 15] = [
    Move::Claim,
    Move::Renew,
    Move::Progress,
    Move::Complete,
    Move::FailRetryable,
    Move::FailFinal,
    Move::Suspend,
    Move::Release,
    Move::Cancel,
    Move::Retry,
    Move::Satisfy,
    Move::ExpireLeases,
    Move::ExpireQueue,
    Move::ExpireWaits,
    Move::ForceCancels,
];

impl Move {
    /// It looks for work of many runs, and passes over what is locked.
    pub fn passes_over(self) -> bool {
        matches!(
            self,
            Self::Claim | Self::ExpireLeases | Self::ExpireQueue | Self::ExpireWaits | Self::ForceCancels
        )
    }
}

pub const FENCE: i64 = 1;
const LEASE: Duration = Duration::from_secs(60);

impl Stage {
    pub async fn of(app: &crate::support::App) -> Self {
        let tool = app.acme.builtin("stage", "builtin/echo").await;
        Self {
            db: app.core.db.clone(),
            tenant: app.acme.id.parse().unwrap(),
            tool: tool.parse().unwrap(),
            now: app.core.clock.now(),
        }
    }

    fn owner(&self) -> Uuid {
        Uuid::from_u128(1)
    }

    /// A PENDING run of the stage's tool.
    pub fn row(&self, id: Uuid) -> task_run::Model {
        let zero = entity::money::Nanos::ZERO;
        task_run::Model {
            tenant_id: self.tenant,
            id,
            workspace_id: None,
            definition_id: None,
            agent_id: None,
            agent_version: None,
            tool_id: Some(self.tool),
            // A lane of its own, so that a claim takes this run and no other.
            lane_id: id,
            capability: None,
            status: RunStatus::Pending,
            reason: RunReason::Queued,
            input: json!({}),
            output: None,
            error: None,
            policy: json!({}),
            priority: 0,
            order_key: 0,
            available_at: self.now,
            queue_expires_at: self.now + TimeDelta::hours(1),
            held_at: None,
            deadline_at: None,
            attempt: 0,
            failures: 0,
            lost_count: 0,
            fence: 0,
            lease_owner: None,
            lease_expires_at: None,
            attempt_deadline_at: None,
            cancel_requested_at: None,
            cancel_reason: None,
            wait_until: None,
            event_seq: 0,
            client_seq: 0,
            step_count: 0,
            tokens_input: 0,
            tokens_cache_read: 0,
            tokens_cache_write: 0,
            tokens_output: 0,
            tokens_reasoning: 0,
            cost_nanos: zero,
            child_cost_nanos: zero,
            unpriced: false,
            parent_run_id: None,
            root_run_id: None,
            depth: 0,
            child_key: None,
            settled: false,
            settled_nanos: zero,
            children: 0,
            children_ended: 0,
            wake_ended: None,
            wake_failed: None,
            replay_of: None,
            dedupe_key: None,
            concurrency_key: String::new(),
            created_by: "system".to_owned(),
            metadata: json!({}),
            created_at: self.now,
            updated_at: self.now,
            queued_at: self.now,
            started_at: None,
            completed_at: None,
            waiting_since: None,
            queue_ms: 0,
            waiting_ms: 0,
        }
    }

    /// A run in the given state, made by transitions.
    pub async fn run(&self, id: Uuid, start: Start) {
        let mut run = self.row(id);
        let lease_expires_at = match start {
            Start::LeaseExpired => self.now - TimeDelta::seconds(1),
            _ => self.now + TimeDelta::seconds(60),
        };
        let born = (start != Start::Pending).then_some(Born {
            owner: self.owner(),
            lease_expires_at,
            attempt_deadline_at: self.now + TimeDelta::hours(1),
            deadline_at: self.now + TimeDelta::hours(2),
        });
        if start == Start::Pending {
            run.queue_expires_at = self.now;
        }
        let tx = self.db.system(Reason::Engine).begin().await.unwrap();
        transitions::create(&tx, &[&NewRun { run, request_id: None, born }]).await.unwrap();
        if start == Start::CancelRequested {
            let asked = self.now - TimeDelta::seconds(40);
            transitions::cancel(&tx, self.tenant, id, RunReason::ByUser, "test", asked).await.unwrap();
        }
        let to = match start {
            Start::Waiting => Some((RunStatus::Waiting, RunReason::Approval)),
            Start::Completed => Some((RunStatus::Completed, RunReason::Output)),
            Start::Failed => Some((RunStatus::Failed, RunReason::Error)),
            Start::Cancelled => Some((RunStatus::Cancelled, RunReason::ByUser)),
            _ => None,
        };
        if let Some(to) = to {
            let wait_until = (start == Start::Waiting).then_some(self.now);
            let change = Change { to: Some(to), wait_until, event_data: json!({}), ..Change::default() };
            let done =
                transitions::write(&tx, &[&self.held(id, Progress::default(), Some(change))], self.now).await;
            assert_eq!(done.unwrap().len(), 1);
        }
        tx.commit().await.unwrap();
    }

    pub fn held(&self, run: Uuid, progress: Progress, change: Option<Change>) -> HeldWrite {
        HeldWrite {
            tenant: self.tenant,
            run,
            attempt: 1,
            fence: FENCE,
            parent: None,
            has_children: false,
            progress,
            change,
            seen: Seen::default(),
        }
    }

    fn ending(&self, status: RunStatus, reason: RunReason) -> Change {
        let pending = status == RunStatus::Pending;
        Change {
            to: Some((status, reason)),
            available: pending.then_some((self.now, 0)),
            wait_until: (status == RunStatus::Waiting).then_some(self.now + TimeDelta::hours(1)),
            failed: reason == RunReason::RetryBackoff || status == RunStatus::Failed,
            released: reason == RunReason::Queued,
            event_data: json!({}),
            ..Change::default()
        }
    }

    /// Applies one transition in a transaction of its own.
    pub async fn apply(&self, id: Uuid, step: Move) {
        let (now, tenant) = (self.now, self.tenant);
        let tx = self.db.system(Reason::Engine).begin().await.unwrap();
        let change = match step {
            Move::Complete => Some(self.ending(RunStatus::Completed, RunReason::Output)),
            Move::FailRetryable => Some(self.ending(RunStatus::Pending, RunReason::RetryBackoff)),
            Move::FailFinal => Some(self.ending(RunStatus::Failed, RunReason::NonRetryable)),
            Move::Suspend => Some(self.ending(RunStatus::Waiting, RunReason::Approval)),
            Move::Release => Some(self.ending(RunStatus::Pending, RunReason::Queued)),
            _ => None,
        };
        match step {
            Move::Claim => {
                let queue = Queue::of_nodes(tenant, id, "");
                transitions::claim_queue(&tx, queue, 1, self.owner(), now, LEASE).await.unwrap();
            }
            Move::Renew => {
                let until = now + TimeDelta::seconds(120);
                transitions::renew(&tx, self.owner(), &[(tenant, id, FENCE)], now, until).await.unwrap();
            }
            Move::Progress => {
                let events = vec![Event { kind: "test.progress", data: json!({}) }];
                let progress = Progress { events, ..Progress::default() };
                transitions::write(&tx, &[&self.held(id, progress, None)], now).await.unwrap();
            }
            Move::Complete | Move::FailRetryable | Move::FailFinal | Move::Suspend | Move::Release => {
                transitions::write(&tx, &[&self.held(id, Progress::default(), change)], now).await.unwrap();
            }
            Move::Cancel => {
                transitions::cancel(&tx, tenant, id, RunReason::ByUser, "test", now).await.unwrap();
            }
            Move::Retry => {
                transitions::retry(&tx, tenant, id, "test", now).await.unwrap();
            }
            Move::Satisfy => {
                let resumed = Resumed { tenant, run: id, data: json!({}) };
                transitions::satisfy_if_answered(&tx, &[resumed], now).await.unwrap();
            }
            Move::ExpireLeases => {
                transitions::expire_leases(&tx, now).await.unwrap();
            }
            Move::ExpireQueue => {
                transitions::expire_queue(&tx, now).await.unwrap();
            }
            Move::ExpireWaits => {
                transitions::expire_waits(&tx, now).await.unwrap();
            }
            Move::ForceCancels => {
                transitions::force_cancels(&tx, now - TimeDelta::seconds(30), now).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "a stage is looked at beneath the product")]
    pub async fn look(&self, id: Uuid) -> task_run::Model {
        let db = self.db.system(Reason::Engine);
        let mine = task_run::Entity::find().filter(task_run::Column::Id.eq(id));
        mine.one(db.connection()).await.unwrap().unwrap()
    }

    /// The types of the run's events in their order, which must have no gap.
    #[expect(clippy::disallowed_methods, reason = "a stage is looked at beneath the product")]
    pub async fn events(&self, id: Uuid) -> Vec<String> {
        use entity::tasks::run_event::{Column, Entity};
        use sea_orm::QueryOrder as _;
        let db = self.db.system(Reason::Engine);
        let mine = Entity::find().filter(Column::RunId.eq(id)).order_by_asc(Column::Seq);
        let events = mine.all(db.connection()).await.unwrap();
        for (expected, event) in (1..).zip(&events) {
            assert_eq!(event.seq, expected);
        }
        events.into_iter().map(|event| event.kind).collect()
    }
}
