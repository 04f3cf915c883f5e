//! The agent loop: model turn, tool calls, again, until an answer or a limit.
//!
//! Invariants: a finished step is neither executed nor paid again; the next request is a function of
//! the plan, the run's input and the journal alone; nothing is called without room in the budget.

mod calls;
mod context;
mod delegation;
mod execution;
mod history;
mod judge;
mod limits;
mod load;
mod model_step;
mod output;
mod plan;
mod repetition;
mod session;
#[cfg(test)]
mod tests;
mod turn;
mod window;

use std::convert::Infallible;

use self::session::Session;
use super::end::{End, Flow};
use crate::engine::{Attempt, Outcome, Progress};

pub use self::load::load;
pub use self::plan::{Bound, Candidate, Output, Plan};

/// Runs an agent to the end of the attempt.
pub async fn run(attempt: &dyn Attempt, plan: &Plan) -> Outcome {
    let mut session = match Session::open(attempt, plan).await {
        Ok(session) => session,
        Err(end) => return end.with(Progress::default()),
    };
    let Err(end) = turns(&mut session).await;
    end.with(session.into_pending())
}

async fn turns(session: &mut Session<'_>) -> Result<Infallible, End> {
    loop {
        finish_turn(session).await?;
        limits::check(session)?;
        session.flush().await?;
        turn::take(session).await?;
    }
}

/// Does what the last turn asks for: its tool calls, or the end of the run.
async fn finish_turn(session: &mut Session<'_>) -> Flow {
    match session.history.turns.last() {
        None => Ok(()),
        Some(turn) if turn.calls.is_empty() => output::answer(session),
        Some(_) => calls::finish(session).await,
    }
}
