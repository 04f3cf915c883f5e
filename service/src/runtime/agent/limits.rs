//! What a run may use: time, turns and money. Denied before the call, not noticed after it.

use entity::money::Nanos;
use entity::tasks::task_run::RunReason;

use super::plan::Candidate;
use super::session::Session;
use super::{output, repetition};
use crate::engine::Stop;
use crate::runtime::end::{End, Flow};
use crate::runtime::models::{ModelRequest, most_prompt};

/// Whether another turn may begin.
pub(super) fn check(session: &Session<'_>) -> Flow {
    stop(session)?;
    repetition::check_turns(&session.history)?;
    let turns = u32::try_from(session.history.turns.len()).unwrap_or(u32::MAX);
    if turns < session.plan.config.limits.max_steps { Ok(()) } else { Err(output::at_limit(session)) }
}

/// Whether a new call may begin.
pub(super) fn stop(session: &Session<'_>) -> Flow {
    if let Some(stop) = session.attempt.stopped() {
        return Err(stop.into());
    }
    if session.attempt.core().clock.now() >= session.deadline {
        return Err(Stop::TimedOut.into());
    }
    Ok(())
}

/// Reserves a model call's worst case: the most that the prompt can become, and the longest answer.
pub(super) fn reserve_turn(session: &Session<'_>, candidate: &Candidate, request: &ModelRequest) -> Flow {
    if session.max_cost.is_none() {
        return Ok(());
    }
    let Some(price) = &candidate.price else {
        let message = format!("A cost limit cannot be kept for {}: its price is not known.", candidate.model);
        return Err(End::failed(RunReason::BudgetExceeded, "model_unpriced", message));
    };
    let (prompt, answer) = (most_prompt(request), i64::from(request.max_tokens));
    let flat = if request.turn == 0 { flat_charge(session) } else { Nanos::ZERO };
    reserve(session, price.worst(prompt, answer) + flat)
}

/// What the run costs beside its model and tools; it is paid with the first turn.
pub(super) fn flat_charge(session: &Session<'_>) -> Nanos {
    session.plan.config.cost_per_run.unwrap_or_default()
}

/// Reserves an amount against the run's cost limit, which its children's cost counts against.
pub(super) fn reserve(session: &Session<'_>, worst: Nanos) -> Flow {
    let Some(limit) = session.max_cost else { return Ok(()) };
    if session.cost() + worst <= limit {
        return Ok(());
    }
    let message = format!(
        "The run has cost {}, the next call may cost {}, and {} is allowed.",
        session.cost().to_decimal(),
        worst.to_decimal(),
        limit.to_decimal(),
    );
    Err(End::failed(RunReason::BudgetExceeded, "max_cost", message))
}
