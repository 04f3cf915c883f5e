//! Remote workers: programs that ask for runs over HTTP, execute them where their code is, and say what came
//! of it. One is known by its name; whether it is alive is told by its times, not stored.
//!
//! Invariant: the leases are the truth. A worker that is paused, drained or thought to be gone keeps what it
//! holds until it ends it or its lease does. The protocol's calls are safe to repeat without a key, so what an
//! `Idempotency-Key` answers is stored behind their effect.

mod changes;
mod claims;
mod delivery;
mod heartbeats;
mod liveness;
mod views;

use sea_orm::{ColumnTrait as _, Condition};
use uuid::Uuid;

use entity::tasks::worker::{Column, Entity, Model};

pub use changes::{delete, drain, pause, register, resume, undrain};
pub use claims::{ClaimWork, ClaimedAgent, ClaimedRun, ClaimedTool, Claims, claim, claim_next};
pub use delivery::{RegisterDelivery, WorkerDeliveryView, deliver, round};
pub use heartbeats::{Beat, BeatLease, BeatLeaseState, BeatView, LeaseState, WorkerCommand, beat};
pub use liveness::{capabilities_alive, shown_reasons};
pub use views::{
    PauseWorker, RegisterWorker, RegisteredWorkerView, WorkerFilter, WorkerPage, WorkerStatus, WorkerView,
};

use crate::crud::{self, Page, Paging, Resource};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub struct Workers;

impl Resource for Workers {
    type Entity = Entity;
    type View = WorkerView;

    fn taken() -> Error {
        Error::conflict("name_taken", "A worker of this name exists.")
    }
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &WorkerFilter) -> Result<Page<WorkerView>> {
    let WorkerFilter { name } = filter;
    let condition = Condition::all().add_option(name.as_deref().map(|name| Column::Name.eq(name)));
    let rows = crud::rows::<Entity>(ctx, paging, condition).await?;
    Ok(rows.map(|row| WorkerView::of(row, &ctx.core)))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<WorkerView> {
    Ok(WorkerView::of(load(ctx, id).await?, &ctx.core))
}

async fn load(ctx: &Ctx, id: Uuid) -> Result<Model> {
    crud::load::<Workers>(ctx, id).await
}
