//! Calls that are child runs: those of a turn are started together when everything else of it is done, and the
//! run waits for all of them without a slot.
//!
//! Invariant: a call has one child, by the place of the call: whatever attempt asks for it, it is that one.

use entity::tasks::task_run;

use super::execution::close;
use super::plan::Bound;
use super::session::{Session, Start};
use crate::engine::{Spawn, Wake};
use crate::error::Error;
use crate::runtime::call::{self, Call};
use crate::runtime::end::{End, Flow};
use crate::tasks::children::{self, Child, check_room, refusal};

/// Closes the call if its child has ended, else notes that it is to be started or waited for.
pub(super) fn delegate(
    session: &mut Session<'_>,
    tool: usize,
    bound: &Bound,
    call: Call,
    is_written: bool,
) -> Flow {
    if let Some(child) = session.child(call::child_key(&call)) {
        if let Some(step) = call::returned(&bound.tool, &call, child) {
            close(session, step);
        }
        return Ok(());
    }
    if !is_written {
        session.push(call::intent(&bound.tool, &call));
        session.push_event(call::called(&bound.tool, &call));
    }
    let key = call::child_key(&call);
    if session.starts.iter().all(|start| call::child_key(&start.call) != key) {
        session.starts.push(Start { tool, call });
    }
    Ok(())
}

/// Ends the attempt if a child of the turn is to be started, or is live.
pub(super) async fn wait(session: &mut Session<'_>) -> Flow {
    let starts = std::mem::take(&mut session.starts);
    let live = session.children.iter().any(|run| !run.status.is_terminal());
    if starts.is_empty() && !live {
        return Ok(());
    }
    let mut started = Vec::with_capacity(starts.len());
    let share = share(session, starts.len());
    for (at, Start { tool, call }) in starts.iter().enumerate() {
        let Some(bound) = session.plan.tools.get(*tool) else { continue };
        let prepared = match check_room(session.attempt.core(), session.attempt.run(), at + 1).await {
            Ok(()) => prepare(session, bound, call, share).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok(run) => started.push(run),
            Err(error) => {
                let (code, message) = refusal(error)?;
                // The intent is written before its outcome: one commit writes a step once.
                session.flush().await?;
                close(session, call::refused(&bound.tool, call, &code, &message));
            }
        }
    }
    if started.is_empty() && !live {
        return Ok(());
    }
    Err(End::Delegated(Spawn { children: started, wake: Wake::ALL }))
}

async fn prepare(
    session: &Session<'_>,
    bound: &Bound,
    call: &Call,
    share: Option<entity::money::Nanos>,
) -> Result<task_run::Model, Error> {
    let gone = || Error::not_found("agent");
    let wanted = bound.tool.child().ok_or_else(gone)?;
    let child =
        Child { max_cost: share, ..Child::new(call::child_key(call), wanted, call.arguments.clone()) };
    children::prepare(session.attempt.core(), session.attempt.run(), child).await
}

/// What each child may cost: an equal part of what the run has left.
fn share(session: &Session<'_>, count: usize) -> Option<entity::money::Nanos> {
    let live: Vec<_> = session.children.iter().filter(|run| !run.status.is_terminal()).collect();
    children::share(session.max_cost, session.attempt.run(), session.history.cost, &live, count)
}
