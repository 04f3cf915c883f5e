//! Why a run is as it is, and what may be done. It looks at the facts anew instead of trusting the run's
//! `reason`, which says what was seen when the run last changed.
//!
//! Invariant: the cost is bounded, however long the queue and the history are: what is counted is counted up to
//! a cap, and samples are the newest.

mod ended;
mod estimate;
mod held;
mod queue;
mod view;

use entity::tasks::task_run::RunStatus;
use uuid::Uuid;

use super::task_runs::load;
use crate::ctx::Ctx;
use crate::error::Result;

pub use view::{
    CauseCode, CauseView, EstimateBasis, EstimateView, LeaseView, LossView, PositionView, RunActionCode,
    RunActionView, RunExplanationView, WaitView,
};

pub async fn explain(ctx: &Ctx, id: Uuid) -> Result<RunExplanationView> {
    let run = load(ctx, id).await?;
    match run.status {
        RunStatus::Pending => queue::explain(ctx, run).await,
        RunStatus::Running => held::executing(ctx, run).await,
        RunStatus::Waiting => held::waiting(ctx, run).await,
        RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => ended::explain(ctx, run).await,
    }
}
