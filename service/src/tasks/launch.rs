//! Runs that no request asks for: those of schedules, triggers and batches, and the children of runs. They are
//! admitted like any other, and made in a transaction of the caller's, together with the row that explains them.
//!
//! ```ignore
//! let ctx = Ctx::automation(core, tenant, Automation::Schedule, schedule.id, "fire_scheduled_task");
//! let mut launch = Launch::default();
//! let run = launch.add(&ctx, Wanted::Definition(id), input).await?;   // outside of the transaction
//! let tx = core.db.system(Reason::Engine).begin().await?;
//! let launched = launch.create(&tx).await?;                          // `launched.of(run)` says what came of it
//! tx.commit().await?;
//! launch.committed(core, launched);
//! ```

use std::collections::HashMap;

use entity::tasks::task_run::{Model, RunStatus};
use serde_json::Value;
use uuid::Uuid;

use super::targets::{self, Wanted};
use super::task_runs::{check_input, new_run};
use crate::core::Core;
use crate::ctx::Ctx;
use crate::db::SystemTx;
use crate::engine::transitions::{self, Admitted, NewRun};
use crate::engine::{Place, busy, refused};
use crate::error::{Error, Result};

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

    /// Inserts the runs, as their keys and their tenants allow.
    pub async fn create(&self, tx: &SystemTx) -> Result<Launched> {
        let (decided, others): (Vec<&NewRun>, Vec<_>) =
            self.runs.iter().partition(|new| transitions::decide(&new.run));
        let mut launched = Launched::default();
        for (id, admitted) in transitions::admit_all(tx, decided.into_iter().cloned().collect()).await? {
            launched.note(id, admitted);
        }
        if !others.is_empty() {
            launched.created.extend(transitions::create(tx, &others).await?);
        }
        for NewRun { run, .. } in &self.runs {
            if !launched.created.contains_key(&run.id) && !launched.missing.contains_key(&run.id) {
                launched.missing.insert(run.id, why_missing(tx, run).await?);
            }
        }
        Ok(launched)
    }

    /// After the commit: the places of what was created are kept, and the engine looks for it.
    pub fn committed(self, core: &Core, launched: Launched) {
        let Launched { created, cancelled, .. } = launched;
        for (run, place) in self.places {
            if let Some(run) = created.get(&run) {
                place.keep(run.status);
            }
        }
        for run in cancelled {
            if run.status == RunStatus::Running {
                core.engine.cancel_here(run.id);
            }
            core.engine.announce(run.id, run.status);
        }
        created.values().for_each(|run| core.engine.call_worker(run));
        if !created.is_empty() {
            core.engine.nudge();
        }
    }
}

/// What became of admitted runs when they were inserted.
#[derive(Default)]
pub struct Launched {
    /// One that its concurrency key ends at once is CANCELLED.
    created: HashMap<Uuid, Model>,
    missing: HashMap<Uuid, Missing>,
    /// In favour of new ones.
    cancelled: Vec<Model>,
}

/// Why an admitted run was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// This one answers for its dedupe key.
    Duplicate(Uuid),
    /// As many runs of its concurrency key are live as may be.
    Full { limit: u32 },
    /// A tenant that is not active starts nothing.
    Inactive,
    /// What it had to give way to has ended meanwhile.
    Passing,
}

impl Launched {
    fn note(&mut self, id: Uuid, admitted: Admitted) {
        match admitted {
            Admitted::New { run, cancelled } => {
                self.created.insert(id, *run);
                self.cancelled.extend(cancelled);
            }
            Admitted::Duplicate(run) => drop(self.missing.insert(id, Missing::Duplicate(run.id))),
            Admitted::Refused { limit } => drop(self.missing.insert(id, Missing::Full { limit })),
            Admitted::Missing => {}
        }
    }

    pub fn has(&self, run: Uuid) -> bool {
        self.created.contains_key(&run)
    }

    pub fn missing(&self, run: Uuid) -> Option<Missing> {
        self.missing.get(&run).copied()
    }

    /// The run that is there for an admitted one: itself, or the one that answers for its dedupe key.
    ///
    /// # Errors
    /// Why there is none, as `POST /v1/task-runs` would say.
    pub fn of(&self, run: Uuid) -> Result<Uuid> {
        match self.missing(run) {
            None => Ok(run),
            Some(Missing::Duplicate(other)) => Ok(other),
            Some(Missing::Full { limit }) => Err(refused(limit)),
            Some(Missing::Inactive) => {
                Err(Error::denied("tenant_suspended", "The tenant is not active: no run can be started."))
            }
            Some(Missing::Passing) => Err(busy()),
        }
    }
}

async fn why_missing(tx: &SystemTx, run: &Model) -> Result<Missing> {
    if let Some((sql, values)) = transitions::live_duplicate(run)
        && let Some(row) = tx.query(&sql, values).await?.first()
    {
        return Ok(Missing::Duplicate(row.try_get("", "id")?));
    }
    let sql = "SELECT id FROM tenant WHERE id = $1 AND status = 'ACTIVE'";
    let is_active = !tx.query(sql, vec![run.tenant_id.into()]).await?.is_empty();
    Ok(if is_active { Missing::Passing } else { Missing::Inactive })
}
