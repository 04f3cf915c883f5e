//! An attempt of the in-process executor: the same functions that a remote worker's calls use.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use entity::tasks::{approval, run_step, run_wait, task_run};
use sea_orm::{ColumnTrait as _, Order};
use serde_json::json;

use super::leases::Lease;
use super::transitions::{HeldWrite, Seen};
use super::{Attempt, Awaited, Event, LeaseLost, Progress, Stop};
use crate::core::Core;
use crate::error::Result;

/// A piece of model text that is not stored yet is no longer than this; more is dropped from the
/// stream, never from the step.
const MOST_PENDING_TEXT: usize = 16 << 10;

pub struct LeasedAttempt {
    core: Core,
    run: task_run::Model,
    lease: Lease,
    stream: Mutex<Stream>,
}

/// What is told of the model call that goes on, and not stored yet.
#[derive(Default)]
struct Stream {
    notes: Vec<Event>,
    text: Option<(i32, String)>,
}

impl LeasedAttempt {
    pub fn new(core: Core, run: task_run::Model, lease: Lease) -> Self {
        Self { core, run, lease, stream: Mutex::default() }
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The write that carries this attempt's fence.
    pub fn held(&self, progress: Progress) -> HeldWrite {
        HeldWrite {
            tenant: self.lease.tenant,
            run: self.lease.run,
            attempt: self.lease.attempt,
            fence: self.lease.fence,
            parent: self.run.parent_run_id,
            has_children: self.run.children > 0,
            progress: self.with_text(progress),
            change: None,
            seen: Seen::default(),
        }
    }

    /// Stores the text that came since the last write, if any.
    pub async fn flush_text(&self) -> Result<(), LeaseLost> {
        let pending = self.stream().text.is_some();
        if pending { self.record(Progress::default()).await } else { Ok(()) }
    }

    fn stream(&self) -> std::sync::MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_text(&self, mut progress: Progress) -> Progress {
        let Stream { mut notes, text } = std::mem::take(&mut *self.stream());
        let delta = |(step, text)| Event { kind: "model.delta", data: json!({ "step": step, "text": text }) };
        notes.extend(text.map(delta));
        if !notes.is_empty() {
            notes.append(&mut progress.events);
            progress.events = notes;
        }
        progress
    }
}

#[async_trait]
impl Attempt for LeasedAttempt {
    fn core(&self) -> &Core {
        &self.core
    }

    fn run(&self) -> &task_run::Model {
        &self.run
    }

    fn deadline(&self) -> DateTime<Utc> {
        self.lease.deadline
    }

    async fn journal(&self) -> Result<Vec<run_step::Model>> {
        let db = self.core.db.tenant(self.run.tenant_id);
        let steps = db.find::<run_step::Entity>().filter(run_step::Column::RunId.eq(self.run.id));
        steps.order_by(run_step::Column::Number, Order::Asc).all().await
    }

    async fn decisions(&self) -> Result<Vec<approval::Model>> {
        let db = self.core.db.tenant(self.run.tenant_id);
        let decided = db
            .find::<approval::Entity>()
            .filter(approval::Column::RunId.eq(self.run.id))
            .filter(approval::Column::Status.ne(approval::ApprovalStatus::Pending));
        decided.order_by(approval::Column::Id, Order::Asc).all().await
    }

    async fn waits(&self) -> Result<Vec<run_wait::Model>> {
        let db = self.core.db.tenant(self.run.tenant_id);
        let waits = db.find::<run_wait::Entity>().filter(run_wait::Column::RunId.eq(self.run.id));
        waits.order_by(run_wait::Column::Id, Order::Asc).all().await
    }

    async fn children(&self) -> Result<Vec<task_run::Model>> {
        if self.run.children == 0 {
            return Ok(Vec::new());
        }
        let db = self.core.db.tenant(self.run.tenant_id);
        let mine = db.everywhere::<task_run::Entity>();
        let mine = mine.filter(task_run::Column::ParentRunId.eq(self.run.id));
        mine.order_by(task_run::Column::ChildKey, Order::Asc).all().await
    }

    async fn record(&self, progress: Progress) -> Result<(), LeaseLost> {
        if self.stopped() == Some(Stop::LeaseLost) {
            return Err(LeaseLost);
        }
        let (engine, leases) = (&self.core.engine, self.core.engine.leases());
        let written = engine.committer().write(self.held(progress), Awaited::default()).await;
        match written {
            Ok(_) => leases.progressed(&self.lease, self.core.clock.now()),
            Err(LeaseLost) => leases.stop(self.run.id, Stop::LeaseLost),
        }
        written.map(|_| ())
    }

    fn note(&self, event: Event) {
        self.stream().notes.push(event);
    }

    fn delta(&self, step: i32, text: &str) {
        let mut stream = self.stream();
        let (of, so_far) = stream.text.get_or_insert_with(|| (step, String::new()));
        if *of == step && so_far.len() + text.len() <= MOST_PENDING_TEXT {
            so_far.push_str(text);
        }
    }

    fn stopped(&self) -> Option<Stop> {
        self.lease.stopped()
    }

    async fn until_stopped(&self) -> Stop {
        self.lease.until_stopped().await
    }
}
