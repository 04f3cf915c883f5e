//! Runs that no request asks for: those of schedules, triggers and batches, and the children of runs. They are
//! admitted like any other, and made in a transaction of the caller's, together with the row that explains them.
//!
//! ```ignore
//! let ctx = Ctx::automation(core, tenant, Automation::Schedule, schedule.id, "fire_scheduled_task");
//! let mut launch = Launch::default();
//! let run = launch.add(&ctx, Wanted::Definition(id), input).await?;   // outside of the transaction
//! let tx = core.db.system(Reason::Engine).begin().await?;
//! let created = launch.create(&tx).await?;                           // without `run`: it was not made
//! tx.commit().await?;
//! launch.committed(core, &created);
//! ```

use std::collections::HashMap;

use entity::tasks::task_run::Model;
use sea_orm::DbErr;
use serde_json::Value;
use uuid::Uuid;

use super::targets::{self, Wanted};
use super::task_runs::{check_input, new_run};
use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::SystemTx;
use crate::engine::Place;
use crate::engine::transitions::{self, NewRun};
use crate::error::Result;

/// Admitted runs, each with its place within the tenant's limits; the places of those that are not created
/// are given back.
#[derive(Default)]
pub struct Launch {
    runs: Vec<NewRun>,
    places: Vec<(Uuid, Place)>,
}

impl Launch {
    /// Admits one more run, PENDING and due, and answers with it for what else it should say.
    ///
    /// # Errors
    /// What `POST /v1/task-runs` answers: 422 for an input that does not fit or a target that is gone, 409
    /// for one that is inactive, 403 and 429 for the tenant's limits.
    pub async fn add(&mut self, ctx: &Ctx, wanted: Wanted, input: Value) -> Result<&mut Model> {
        let target = targets::resolve(ctx, wanted).await?;
        check_input(&target, &input)?;
        let mut run = new_run(ctx, &target, input)?;
        target.stamp(&mut run)?;
        let place = ctx.core.engine.admission().place(ctx.tenant).await?;
        self.places.push((run.id, place));
        let at = self.runs.len();
        self.runs.push(NewRun { run, request_id: Some(ctx.request_id.clone()), born: None });
        Ok(&mut self.runs[at].run)
    }

    /// Leaves out the runs of what has changed since; their places are given back.
    pub fn retain(&mut self, keep: impl Fn(Uuid) -> bool) {
        self.runs.retain(|new| keep(new.run.id));
        self.places.retain(|(run, _)| keep(*run));
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Inserts the runs. One that is not in the answer was not made: its tenant is not active, a live run has its
    /// dedupe key, or its concurrency key refuses it; one that the key ends at once is CANCELLED.
    pub async fn create(&self, tx: &SystemTx) -> Result<HashMap<Uuid, Model>, DbErr> {
        let (decided, others): (Vec<_>, Vec<_>) =
            self.runs.iter().cloned().partition(|new| transitions::decide(&new.run));
        let mut created = transitions::admit_all(tx, decided).await?;
        if !others.is_empty() {
            created.extend(transitions::create(tx, &others).await?);
        }
        Ok(created)
    }

    /// After the commit: the places of what was created are kept, and the engine looks for it.
    pub fn committed(self, core: &Core, created: &HashMap<Uuid, Model>) {
        for (run, place) in self.places {
            if let Some(run) = created.get(&run) {
                place.keep(run.status);
            }
        }
        created.values().for_each(|run| core.engine.call_worker(run));
        if !created.is_empty() {
            core.engine.nudge();
        }
    }
}
